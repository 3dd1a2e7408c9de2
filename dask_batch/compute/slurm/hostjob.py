"""A host as a SLURM job of its own: submitting it, and whether it is still to come. Without Dask."""

from __future__ import annotations

import getpass
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from dask_batch.compute.slurm import control
from dask_batch.compute.slurm.folders import host_folder
from dask_batch.compute.slurm.names import Family
from dask_batch.compute.slurm.queue import QueuedJob, explained
from dask_batch.compute.slurm.script import host_script
from dask_batch.errors import SlurmError
from dask_batch.hostfolder import HostFolder
from dask_batch.specs.slurm import SlurmCompute

__all__ = ["awaited", "call_off", "cancel_family", "family_of", "host_arguments", "submit_host"]

_START_S = 120.0  # for the process, between its start and its epoch
_FRESH_S = 3.0
_DEAF_S = 10.0


def family_of(folder: HostFolder) -> Family:
    """Return how the SLURM jobs of a host and its instances are called."""
    return Family(folder.storage.root, folder.user, folder.compute)


def host_arguments(folder: HostFolder, epoch: int, attempt: int) -> list[str]:
    """Return the command line of a host."""
    arguments = ["--root", folder.storage.root, "--compute", folder.compute, "--user", folder.user]
    return [*arguments, "--epoch", str(epoch), "--attempt", str(attempt)]


def submit_host(folder: HostFolder, compute: SlurmCompute, epoch: int, attempt: int) -> dict[str, Any]:
    """Submit the job of a host, and return what its launch record says of it.

    Raises
    ------
    SlurmError
        SLURM refuses it, or does not answer.
    """
    place = host_folder(folder.storage, folder.user, folder.compute)
    os.makedirs(place, mode=0o700, exist_ok=True)
    name = family_of(folder).host(epoch)
    script = host_script(compute, place, name, [*host_arguments(folder, epoch, attempt), "--as-job"])
    try:
        number = control.submit(script)
    except SlurmError as error:
        if error.here or not error.permanent:
            raise
        raise SlurmError(
            f"{error} (the host's own job has host_partition, host_walltime and host_memory, or what instances have)",
            permanent=True,
        ) from error
    _QUEUES.pop(getpass.getuser(), None)
    return {
        "slurm": {"job": number, "user": getpass.getuser()},
        "log": os.path.join(place, f"{name}-{number}.log"),
    }


def awaited(folder: HostFolder, slurm: dict[str, str]) -> str | None:
    """Return why a host's job is waited for, in SLURM's words; None if it will not bring a host.

    Parameters
    ----------
    folder : HostFolder
        The host's.
    slurm : dict
        ``job`` and ``user``, as a launch or epoch record has them.
    """
    if slurm["job"] in _GONE:
        return None
    try:
        job = _find(slurm)
    except SlurmError as error:
        # Nobody knows: a second host would be worse than a late one.
        return str(error)
    if job is None:
        _GONE.add(slurm["job"])
        return None
    what = f"the host's SLURM job {job.id} is"
    if job.phase == "pending":
        return f"{what} pending: {explained(job.reason) or 'SLURM has not looked at it yet'}"
    started = datetime.fromtimestamp(job.expected_start or 0.0, UTC)
    young = datetime.now(UTC) - started < timedelta(seconds=_START_S)
    return f"{what} starting on {job.nodes}" if job.phase == "running" and young else None


def call_off(slurm: dict[str, str]) -> None:
    """Cancel the job of a host that has not started; from now on nobody here waits for it.

    Raises
    ------
    SlurmError
        SLURM does not answer.
    """
    control.cancel([slurm["job"]])
    _GONE.add(slurm["job"])


def cancel_family(folder: HostFolder) -> None:
    """Cancel every SLURM job of a host and its instances, of whatever epoch.

    Raises
    ------
    SlurmError
        SLURM does not answer.
    """
    family = family_of(folder)
    control.cancel(job.id for job in control.queue(getpass.getuser(), family.prefix) if family.owns(job.name))


# Whoever waits for a job looks several times a second, and may look at many computes; SLURM is asked much less often,
# once for all that a user has. A job that has left the queue never comes back, also when it is requeued: then it does
# not leave it.
_GONE: set[str] = set()
_QUEUES: dict[str, tuple[float, list[QueuedJob] | SlurmError]] = {}


def _find(slurm: dict[str, str]) -> QueuedJob | None:
    user = slurm["user"]
    at, known = _QUEUES.get(user, (0.0, []))
    age_s = time.monotonic() - at
    found = None if isinstance(known, SlurmError) else _by_number(known, slurm["job"])
    if isinstance(known, SlurmError) and age_s < _DEAF_S:
        raise known
    if found is not None and age_s < _FRESH_S:
        return found
    try:
        queue = control.queue(user, "")
    except SlurmError as error:
        _QUEUES[user] = (time.monotonic(), error)
        raise
    _QUEUES[user] = (time.monotonic(), queue)
    return _by_number(queue, slurm["job"])


def _by_number(queue: list[QueuedJob], number: str) -> QueuedJob | None:
    return next((job for job in queue if job.id == number), None)
