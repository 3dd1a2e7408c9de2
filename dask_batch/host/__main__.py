"""Starts a host: ``python -m dask_batch.host --root URL --compute NAME --user NAME --epoch N --attempt K``.

Clients start it when a compute has no live host (`dask_batch.jobs.launch`). It becomes the host of epoch N, unless
another process already is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from dask_batch.compute.slurm.folders import meeting_folder
from dask_batch.compute.slurm.script import instance_script
from dask_batch.errors import DaskBatchError
from dask_batch.host.heartbeat import Heartbeat
from dask_batch.host.succession import as_job, end_patience_s, next_epoch_of_job, succeed
from dask_batch.hostfolder import HostFolder, ProcessId
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.slots.deployments import Loadable
from dask_batch.slots.pool import Slots
from dask_batch.specs.compute import Compute, LocalCompute, compute_from_stored
from dask_batch.specs.job import JobDefinition
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.storage import Storage

if TYPE_CHECKING:
    from dask_batch.compute.base import Provider
    from dask_batch.host.host import Host

log = logging.getLogger("dask_batch.host")

_END_S = 20.0
_KILLED_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Be the host of one epoch; return the exit status."""
    options = _parse(arguments)
    # "message" and time only: the log is read by people who look for their job's name.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    storage = Storage(options.root)
    folder = HostFolder(storage, options.compute, options.user)
    launch = folder.launch(options.epoch, options.attempt)
    if launch is None:
        log.error("there is no launch %d of epoch %d", options.attempt, options.epoch)
        return 2
    process = ProcessId.of().to_json()
    record = {"process": process, "compute": launch["compute"]} | (as_job() if options.as_job else {})
    epoch = options.epoch
    if not folder.begin_epoch(epoch, record | {"at": now()}):
        # A job that SLURM has requeued begins another epoch, unless somebody else has.
        epoch = next_epoch_of_job(folder, record) if options.as_job else 0
        if not epoch:
            log.info("epoch %d began already, in another process", options.epoch)
            return 0
    with Heartbeat(folder, epoch, process) as heartbeat:
        _end_predecessors(folder, epoch)
        folder.forget_before(epoch)
        compute = compute_from_stored(launch["compute"])
        log.info("host of compute %s, epoch %d, process %d", compute.name, epoch, os.getpid())
        time_is_up = _be_host(folder, epoch, heartbeat, compute)
    if time_is_up and isinstance(compute, SlurmCompute):
        succeed(folder, compute)
    log.info("host ends")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dask_batch.host", description="The host of a compute.")
    parser.add_argument("--root", required=True)
    parser.add_argument("--compute", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--as-job", action="store_true", help="it is a SLURM job of its own")
    # dask-jobqueue, which writes the job script, adds options of its own.
    return parser.parse_known_args(arguments)[0]


def _end_predecessors(folder: HostFolder, epoch: int) -> None:
    """Kill hosts of lower epochs on this machine that were taken for dead and are not: they are frozen, or hang.

    Their scoring processes die with them. What they might still write does not count. Those that are about to end by
    themselves are left to it.
    """
    for number in range(max(1, epoch - 3), epoch):
        record = folder.heartbeat(number) or folder.epoch_record(number) or {}
        process = ProcessId.from_json(record["process"]) if record.get("process") else None
        if process is None or record.get("state") in ("stopping", "draining"):
            continue
        if process.here() and process.alive() and process.pid != os.getpid():
            log.warning("the host of epoch %d, process %d, is replaced and does not end: killed", number, process.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
            _await_end(process)


def _await_end(process: ProcessId) -> None:
    """Wait until a process that was killed is gone, some seconds at most: only then is what it left swept up."""
    deadline = time.monotonic() + _KILLED_S
    while process.alive() and time.monotonic() < deadline:
        time.sleep(0.02)


def _be_host(folder: HostFolder, epoch: int, heartbeat: Heartbeat, compute: Compute) -> bool:
    """Be the host until it ends, and return whether it ended because its own time was up."""
    if isinstance(compute, SlurmCompute):
        provider, slots = _of_slurm(folder, epoch, compute)
    else:
        provider, slots = _of_this_machine(folder, epoch, compute)
    from dask_batch.host.host import DRAIN_S, Host

    patience_s = end_patience_s(compute) if isinstance(compute, SlurmCompute) else DRAIN_S
    return asyncio.run(_run(Host(folder, epoch, heartbeat, compute, provider, slots), patience_s))


def _of_slurm(folder: HostFolder, epoch: int, compute: SlurmCompute) -> tuple[Provider, int]:
    # The instances' script is written by a process of its own while this one imports Dask, which takes about as long.
    threading.Thread(target=_write_script, args=(folder, epoch, compute), name="script", daemon=True).start()
    from dask_batch.compute.slurm.provider import SlurmProvider

    return SlurmProvider(compute, folder.storage, folder.user, epoch), compute.known_slots


def _write_script(folder: HostFolder, epoch: int, compute: SlurmCompute) -> None:
    """Have the script at hand when the first instance is asked for; what fails here is told then."""
    with contextlib.suppress(DaskBatchError):
        instance_script(compute, meeting_folder(folder.storage, folder.user, compute.name, epoch), "")


def _of_this_machine(folder: HostFolder, epoch: int, compute: LocalCompute) -> tuple[Provider, int]:
    # The first model loads in a process of its own while this one imports Dask, which takes about as long.
    from dask_batch.compute.sizing import local_slots

    prefix = f"{compute.name}-e{epoch}"
    slots = local_slots(compute, folder.storage, f"{prefix}-1")
    warming = threading.Thread(target=_warm_up, args=(folder, slots), name="warm-up", daemon=True)
    warming.start()
    from dask_batch.compute.local import LocalProvider

    return LocalProvider(compute, folder.storage, prefix, ready=slots), slots.count


async def _run(host: Host, patience_s: float) -> bool:
    time_is_up = False

    def drain() -> None:
        host.drain()
        _end_within(_END_S)

    def make_way() -> None:
        nonlocal time_is_up
        time_is_up = True
        host.drain(patience_s)
        _end_within(patience_s + _END_S)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    # What SLURM sends to the job of a host some time before its end.
    loop.add_signal_handler(signal.SIGUSR1, make_way)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    await host.run()
    _end_within(_END_S)
    return time_is_up


def _end_within(seconds: float) -> None:
    """End this process after some seconds, whatever hangs: a thread may wait for a storage that never answers.

    Nothing is lost by that: what is not in the ledger is scored again.
    """

    def end() -> None:
        log.error("the host does not end by itself within %g s and is ended", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _warm_up(folder: HostFolder, slots: Slots) -> None:
    """Load the deployment of the first job in the inbox; whatever fails here is reported when its chunk runs."""
    for job in folder.inbox():
        record = JobFolder(folder.storage, job).definition()
        if record is None:
            continue
        with contextlib.suppress(DaskBatchError, OSError):
            definition = JobDefinition.from_stored(record)
            slots.prepare(Loadable(definition.deployment, definition.settings), job, "")
        return


if __name__ == "__main__":
    sys.exit(main())
