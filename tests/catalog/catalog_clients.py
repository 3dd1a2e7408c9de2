"""Processes that use a catalog. Run as a script, this file is such a process.

A client says ``ready``, waits for a line, does what it was told, and says what came of it as JSON.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time

ANSWER_S = 120.0


class Clients:
    """The client processes of a test."""

    def __init__(self):
        self._processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def start(self, url, action, *arguments):
        """Start a client and return its process; it waits for `go`."""
        command = [sys.executable, __file__, url, action, json.dumps(arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._processes.append(process)
        return process

    def begin(self, process):
        """Let a client begin, and return the first thing it says."""
        assert hear(process) == "ready"
        go(process)
        return hear(process)

    def run(self, *jobs):
        """Run (url, action, *arguments) at once, each in a process, and return what each says."""
        started = [self.start(*job) for job in jobs]
        for process in started:
            assert hear(process) == "ready"
        for process in started:
            go(process)
        return [hear(process) for process in started]


def go(process):
    """Let a client begin."""
    process.stdin.write(b"go\n")


def hear(process):
    """Return what a client says next."""
    deadline = time.monotonic() + ANSWER_S
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        assert ready, "a client does not answer"
        byte = process.stdout.read(1)
        assert byte, "a client ended without an answer"
        line += byte
    return json.loads(line)


def say(what):
    print(json.dumps(what), flush=True)


def attempt(call):
    """Return "done", or the name of the error that `call` raised on purpose."""
    from dask_batch.errors import DaskBatchError

    try:
        call()
    except DaskBatchError as error:
        return type(error).__name__
    return "done"


def create_endpoint(catalog, name):
    return attempt(lambda: catalog.endpoints.create(name, {}))


def create_endpoints(catalog, prefix, count):
    return [attempt(lambda n=n: catalog.endpoints.create(f"{prefix}-{n}", {"n": n})) for n in range(count)]


def create_deployment(catalog, endpoint, name):
    return attempt(lambda: catalog.deployments.create(endpoint, name, {}))


def delete_deployment(catalog, endpoint, name):
    return attempt(lambda: catalog.deployments.delete(endpoint, name))


def increment(catalog, name, times):
    for _ in range(times):
        catalog.endpoints.update(name, lambda document: {"n": document["n"] + 1})
    return "done"


def add_assets(catalog, name, count):
    return [catalog.assets.add("model", name, None, {}).version for _ in range(count)]


def add_jobs(catalog, keys, name):
    said = []
    for key in keys:
        record, added = catalog.add_job(
            f"{name}-{key}",
            endpoint="e",
            deployment="d",
            compute="c",
            owner="o",
            created="now",
            idempotency_key=key,
        )
        said.append([record.name, added])
    return said


def read_all(catalog, times):
    for _ in range(times):
        catalog.endpoints.list()
        catalog.list_jobs()
        catalog.assets.list("model")
    return "done"


def hold(catalog, name):
    """Stay inside a transaction that has written more than memory holds of it, until killed."""
    from sqlalchemy import insert, update

    from dask_batch.catalog import tables

    def work(connection):
        change = update(tables.endpoints).where(tables.endpoints.c.name == name).values(document='{"n": -1}')
        connection.execute(change)
        filler = "x" * 100_000
        rows = [
            {"name": f"filler-{n}", "document": filler, "revision": 1, "created": "", "updated": ""} for n in range(100)
        ]
        connection.execute(insert(tables.computes), rows)
        say("inside")
        time.sleep(ANSWER_S)

    catalog._database.write("hold", work)


def main():
    from dask_batch.catalog import open_catalog

    url, action, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if action == "open":
        say("ready")
        sys.stdin.readline()
        with open_catalog(url) as catalog:
            say(create_endpoint(catalog, *arguments))
        return
    with open_catalog(url) as catalog:
        say("ready")
        sys.stdin.readline()
        say(globals()[action](catalog, *arguments))


if __name__ == "__main__":
    main()
