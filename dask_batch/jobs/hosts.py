"""The host of a compute from outside: whether it lives and what it does, starting it, stopping it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import Any, Literal

from dask_batch import settings
from dask_batch.compute.slurm import control
from dask_batch.compute.slurm.folders import meeting_folder
from dask_batch.compute.slurm.hostjob import call_off, cancel_family, family_of
from dask_batch.compute.slurm.script import instance_script
from dask_batch.errors import Refused, SlurmError, WaitTimeout
from dask_batch.hostfolder import HostFolder, ProcessId
from dask_batch.jobs.launch import HostView, ensure_host, host_log, look
from dask_batch.specs.compute import Compute, compute_from_stored
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.storage import Storage

__all__ = [
    "HostState",
    "call_off_unneeded",
    "host_state",
    "leave_nothing",
    "script_of_instance",
    "start_host",
    "stop_host",
]

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class HostState:
    """What can be seen of a host.

    Parameters
    ----------
    compute, owner : str
        Which host, whose.
    state : str
        ``"running"``, ``"draining"``, ``"launching"`` or ``"absent"``.
    alive : bool
        Whether it runs.
    epoch : int
        The number of its life; 0 if there never was one.
    instances, pending : int
        Instances it has, and waits for, as its last heartbeat says.
    jobs : tuple of str
        Jobs in its inbox: those that have not ended, and perhaps some that just did.
    process : dict, optional
        Machine, number and start of its process, while it runs.
    log : str
        Path of its newest log; empty if there is none here.
    """

    compute: str
    owner: str
    state: Literal["running", "draining", "launching", "absent"]
    alive: bool
    epoch: int
    instances: int
    pending: int
    jobs: tuple[str, ...]
    process: dict[str, Any] | None
    log: str


def host_state(storage: Storage, compute: str) -> HostState:
    """Return what can be seen of the caller's host of a compute."""
    folder = HostFolder(storage, compute, settings.user())
    view = look(folder)
    alive = view.alive
    beat = (folder.heartbeat(view.epoch) or {}) if alive else {}
    return HostState(
        compute=compute,
        owner=folder.user,
        state=view.state,
        alive=alive,
        epoch=view.epoch,
        instances=beat.get("instances", 0),
        pending=beat.get("pending", 0),
        jobs=tuple(folder.inbox()),
        process=_process(folder, view.epoch) if alive else None,
        log=host_log(folder, 1)[0],
    )


def start_host(storage: Storage, compute: Compute) -> None:
    """Start the caller's host of a compute unless one lives, and return at once.

    Raises
    ------
    HostFailed
        The process could not be started.
    """
    ensure_host(storage, compute, settings.user())


def stop_host(storage: Storage, compute: str, timeout_s: float = 60.0) -> None:
    """Ask the caller's host of a compute to end, and wait until it has; what runs is committed first.

    Raises
    ------
    Refused
        The host runs on another machine.
    WaitTimeout
        It has not ended in time; the request stands.
    """
    folder = HostFolder(storage, compute, settings.user())
    deadline = time.monotonic() + timeout_s
    asked = 0
    while (view := look(folder)).state != "absent":
        if view.state == "running" and asked != view.epoch:
            _ask_to_end(folder, view.epoch)
            asked = view.epoch
        elif view.state == "launching":
            _call_off(folder, view)
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"the host of compute {compute!r} has not ended within {timeout_s:g} s; "
                "it ends once the chunks in flight are committed, or see its log"
            )
        time.sleep(_POLL_S)


def _ask_to_end(folder: HostFolder, epoch: int) -> None:
    record = _process(folder, epoch)
    process = ProcessId.from_json(record) if record else None
    job = (folder.epoch_record(epoch) or {}).get("slurm")
    if job:
        control.cancel([job["job"]])
        return
    if process is None or not process.here():
        machine = process.machine.partition("/")[0] if process else "an unknown machine"
        raise Refused(f"the host of compute {folder.compute!r} runs on {machine}; stop it there")
    with contextlib.suppress(ProcessLookupError):
        if process.alive():
            os.kill(process.pid, signal.SIGTERM)


def call_off_unneeded(folder: HostFolder) -> None:
    """Cancel the SLURM job of a host that is still to come and for which there is nothing left to do."""
    view = look(folder)
    if view.state != "launching" or folder.inbox():
        return
    with contextlib.suppress(SlurmError):  # then it comes, finds nothing to do and goes
        _call_off(folder, view)
        launch = folder.launch(view.epoch + 1, view.attempts) if view.attempts else None
        # Somebody who invoked at this moment may have relied on it.
        if launch is not None and folder.inbox():
            ensure_host(folder.storage, compute_from_stored(launch["compute"]), folder.user)


def _call_off(folder: HostFolder, view: HostView) -> None:
    """Cancel the SLURM job of a host that is still to come; a process that starts is waited for, and then asked."""
    records = (folder.launch(view.epoch + 1, view.attempts) if view.attempts else None, folder.epoch_record(view.epoch))
    for record in records:
        if record and "slurm" in record:
            call_off(record["slurm"])
            return
        if record and "refused" in record:
            folder.note_launch(view.epoch + 1, view.attempts, record | {"permanent": True})
            return


def script_of_instance(storage: Storage, compute: SlurmCompute) -> str:
    """Return the job script of the first instance of the caller's host of a compute, the one that lives or the next."""
    folder = HostFolder(storage, compute.name, settings.user())
    view = look(folder)
    epoch = view.epoch if view.alive else view.epoch + 1
    place = meeting_folder(storage, folder.user, compute.name, epoch)
    return instance_script(compute, place, family_of(folder).instance(epoch, 1))


def leave_nothing(storage: Storage, compute: Compute) -> None:
    """Cancel whatever the caller's hosts of a compute left on its cluster, however they ended.

    Raises
    ------
    SlurmError
        SLURM does not answer.
    """
    if isinstance(compute, SlurmCompute):
        cancel_family(HostFolder(storage, compute.name, settings.user()))


def _process(folder: HostFolder, epoch: int) -> dict[str, Any] | None:
    record = folder.heartbeat(epoch) or folder.epoch_record(epoch) or {}
    process: dict[str, Any] | None = record.get("process")
    return process
