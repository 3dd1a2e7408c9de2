"""A network that cannot be relied on, between us and a real server, for tests of what follows.

::

    with s3_server() as url, flaky_network(os.environ["FSSPEC_S3_ENDPOINT_URL"], seed=7) as network:
        …                            # use network.endpoint

It forwards HTTP requests. From a seed it refuses some with 503, drops some before and some after the server has done
them (the answer is lost), cuts some answers off, and keeps some waiting.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["Network", "flaky_network"]

_TROUBLES = ("refused", "dropped", "answer lost", "cut off", "slow")
_SLOW_S = 0.3
_ONE_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Network:
    """What goes wrong, and how often it has.

    Parameters
    ----------
    server : str
        URL of the real server.
    seed : int
        Of what goes wrong.
    share : float
        Of the requests that something goes wrong with.
    """

    def __init__(self, server: str, seed: int, share: float) -> None:
        self.host = urlsplit(server).netloc
        self.endpoint = ""
        self.share = share
        self.happened: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def trouble(self) -> str:
        """Draw what goes wrong with a request; mostly nothing."""
        with self._lock:
            drawn = self._chance.choice(_TROUBLES) if self._chance.random() < self.share else "none"
            self.happened[drawn] += 1
            return drawn


@contextlib.contextmanager
def flaky_network(server: str, *, seed: int, share: float = 0.1) -> Iterator[Network]:
    """Forward to a server on this machine, badly, while the block runs."""
    network = Network(server, seed, share)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(network))
    proxy.daemon_threads = True
    network.endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield network
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def _handler(network: Network) -> type[BaseHTTPRequestHandler]:
    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Say nothing."""

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            trouble = network.trouble()
            if trouble == "slow":
                time.sleep(_SLOW_S)
            if trouble == "refused":
                self._answer(503, [], b"")
                return
            if trouble == "dropped":
                self.close_connection = True
                return
            status, headers, content = self._ask(body)
            if trouble == "answer lost":
                self.close_connection = True
                return
            self._answer(status, headers, content, cut=trouble == "cut off" and len(content) > 1)

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            server = http.client.HTTPConnection(network.host, timeout=60)
            try:
                # The signature covers the host that the client named, so headers go on as they are.
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                server.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False) -> None:
            self.send_response(status)
            sized = any(name.lower() == "content-length" for name, _ in headers)
            for name, value in headers:
                if name.lower() not in _ONE_HOP:
                    self.send_header(name, value)
            if not sized:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815 - names of the base class

    return Forward
