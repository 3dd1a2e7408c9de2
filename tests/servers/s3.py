"""A real S3 server on this machine, for tests of remote storage.

::

    with s3_server() as url:            # "s3://bucket-…", empty
        Storage(f"{url}/workspace")

It is moto's server, in a process of its own on a free loopback port. While the block runs, ``FSSPEC_S3_*`` point to it,
for this process and for those that it starts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import fsspec

__all__ = ["s3_server"]

_START_S = 60.0


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Start a server and yield the URL of an empty bucket; everything is gone afterwards."""
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        _wait(endpoint, process)
        with _pointed_to(endpoint):
            bucket = f"s3://bucket-{secrets.token_hex(4)}"
            fsspec.filesystem("s3").mkdir(bucket)
            yield bucket
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start (exit code {process.poll()})") from None
            time.sleep(0.05)


@contextlib.contextmanager
def _pointed_to(endpoint: str) -> Iterator[None]:
    settings = {"endpoint_url": endpoint, "key": "testing", "secret": "testing"}
    variables = {f"FSSPEC_S3_{name.upper()}": value for name, value in settings.items()}
    variables |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    before = {name: os.environ.get(name) for name in variables}
    before_here = fsspec.config.conf.get("s3")
    os.environ.update(variables)
    # fsspec has read the environment when it was imported.
    fsspec.config.conf["s3"] = settings
    try:
        yield
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        fsspec.config.conf.pop("s3")
        if before_here is not None:
            fsspec.config.conf["s3"] = before_here
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
