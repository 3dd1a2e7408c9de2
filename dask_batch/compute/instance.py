"""An instance on another machine: ``python -m dask_batch.compute.instance FOLDER --name NAME --nthreads N …``.

A Dask worker with slots. On SIGTERM it drains: it takes no new chunk, ends the one that runs, and leaves. So it does by
itself when what is left of its time would not do for another chunk. The command line is the one that dask-jobqueue
writes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping

import dask
from distributed import Worker

from dask_batch import settings
from dask_batch.compute.network import DASK_CONFIG
from dask_batch.compute.sizing import memory_of_this_machine, parse_bytes
from dask_batch.compute.slurm.meeting import Meeting
from dask_batch.compute.slurm.script import ENDS
from dask_batch.compute.worker import SlotsPlugin
from dask_batch.slots.pool import Slots
from dask_batch.storage import Storage

__all__ = ["main", "memory_given", "time_to_drain"]

log = logging.getLogger("dask_batch.instance")

_TICK_S = 0.05
_WATCH_S = 1.0
_SLACK = 1.2
_LEAVING_S = 10.0
_COLLECTED_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Be an instance until the host ends or SIGTERM comes; return the exit status."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    try:
        asyncio.run(_work(options))
    except _CannotBegin as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all, and is shown to the user
        return 1
    return 0


class _CannotBegin(Exception):
    """The instance cannot reach its host; the message says why and what to do."""


def memory_given(asked: int, environment: Mapping[str, str], total: int, cores: int) -> int:
    """Return the bytes of memory that this instance may use.

    Parameters
    ----------
    asked : int
        What the definition says; 0 if it says nothing.
    environment : mapping
        SLURM's variables are in it.
    total, cores : int
        Memory and cores of this machine.

    Examples
    --------
    >>> memory_given(0, {"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "2"}, 1 << 40, 8) >> 20
    200
    """
    if asked:
        return asked
    here = int(environment.get("SLURM_CPUS_ON_NODE") or cores)
    if each := environment.get("SLURM_MEM_PER_CPU"):
        return min(total, (int(each) << 20) * here)
    if whole := environment.get("SLURM_MEM_PER_NODE"):
        return min(total, int(whole) << 20) or total
    return total * min(here, cores) // cores


def time_to_drain(now: float, ends: float, longest_s: float) -> bool:
    """Return whether a chunk that begins now could outlast this instance, as far as those that it has seen tell.

    Parameters
    ----------
    now, ends : float
        The time, and when SLURM ends this instance, in seconds since the epoch.
    longest_s : float
        Seconds of the longest chunk until now.

    Examples
    --------
    >>> time_to_drain(0, 3600, 600), time_to_drain(3000, 3600, 600)
    (False, True)
    """
    return ends - now < _SLACK * longest_s + _LEAVING_S


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dask_batch.compute.instance", description="An instance.")
    parser.add_argument("folder")
    parser.add_argument("--name", required=True)
    parser.add_argument("--nthreads", type=int, required=True)
    parser.add_argument("--memory-limit", type=parse_bytes, default=0)
    parser.add_argument("--death-timeout", type=float, default=60.0)
    parser.add_argument("--interface")
    return parser.parse_args(arguments)


async def _work(options: argparse.Namespace) -> None:
    terminated = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminated.set)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    scratch = settings.scratch_folder() / "nodes" / socket.gethostname()
    (scratch / "dask").mkdir(parents=True, exist_ok=True, mode=0o700)
    dask.config.set(DASK_CONFIG | {"temporary-directory": str(scratch / "dask")})
    meeting = Meeting(options.folder)
    try:
        host = meeting.find_host()
    except (OSError, json.JSONDecodeError) as error:
        raise _CannotBegin(
            f"the host of this instance is gone, or {options.folder} is not on a file system that "
            f"{socket.gethostname()} shares: {error}"
        ) from error
    memory = memory_given(options.memory_limit, os.environ, memory_of_this_machine(), os.cpu_count() or 1)
    slots = Slots(Storage(host["root"]), options.nthreads, name=options.name, memory_bytes=memory,
                  scratch=scratch / "processes")  # fmt: skip
    try:
        worker = Worker(
            host["address"],
            name=options.name,
            nthreads=options.nthreads,
            memory_limit=0,
            interface=options.interface,
            protocol="tls",
            security=meeting.security(),
            death_timeout=options.death_timeout,
            dashboard=False,
            local_directory=str(scratch / "dask"),
            plugins=[SlotsPlugin(slots)],
        )
        await _connect(worker, host["address"], terminated, options.death_timeout)
        log.info("instance %s on %s works for %s", options.name, socket.gethostname(), host["address"])
        watching = asyncio.ensure_future(_watch_time(worker, terminated))
        await _until(worker, terminated)
        watching.cancel()
    finally:
        await asyncio.to_thread(slots.close)


async def _connect(worker: Worker, address: str, terminated: asyncio.Event, limit_s: float) -> None:
    starting = asyncio.ensure_future(worker)
    asked = asyncio.ensure_future(terminated.wait())
    await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not starting.done():
        starting.cancel()
        raise _CannotBegin("ended before it was connected")
    if error := starting.exception():
        raise _CannotBegin(
            f"the host at {address} cannot be reached from {socket.gethostname()} within {limit_s:g} s; if it lives, "
            f"name the network interface between them: interface=... of the compute ({error})"
        ) from error


async def _watch_time(worker: Worker, terminated: asyncio.Event) -> None:
    """End the work when it is time to; only SLURM's warning does where the end is not known."""
    ends = os.environ.get(ENDS)
    began: dict[str, float] = {}
    longest = 0.0
    while ends is not None and not terminated.is_set():
        now = time.time()
        began = {task.key: began.get(task.key, now) for task in worker.state.executing}
        longest = max([longest, *(now - at for at in began.values())])
        if longest and time_to_drain(now, float(ends), longest):
            log.info("the time that is left would not do for another chunk, of up to %.0f s", longest)
            terminated.set()
        await asyncio.sleep(_WATCH_S)


async def _until(worker: Worker, terminated: asyncio.Event) -> None:
    """Work until the host ends, or until SIGTERM comes and what runs is done."""
    finished = asyncio.ensure_future(worker.finished())
    asked = asyncio.ensure_future(terminated.wait())
    await asyncio.wait({finished, asked}, return_when=asyncio.FIRST_COMPLETED)
    if not finished.done():
        log.info("instance %s drains", worker.name)
        with contextlib.suppress(Exception):  # the host may be ending at this moment
            await _drain(worker, finished)
        await worker.close(timeout=10, reason="drained")
    asked.cancel()
    await finished
    log.info("instance %s ends", worker.name)


async def _drain(worker: Worker, finished: asyncio.Future[None]) -> None:
    """Tell the scheduler to give this worker nothing more, and wait until what it has is done and collected."""
    # Refused while a result lies here that the host has not collected: it does so at once.
    while not finished.done() and not await worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=False
    ):
        await asyncio.sleep(_TICK_S)
    # What has come and not begun never will, and is given to others once this worker has gone.
    while not finished.done() and worker.state.executing:
        await asyncio.sleep(_TICK_S)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _COLLECTED_S
    # The host collects results at once; where it is ending, nobody does.
    while not finished.done() and worker.data and loop.time() < deadline:
        await asyncio.sleep(_TICK_S)


if __name__ == "__main__":
    sys.exit(main())
