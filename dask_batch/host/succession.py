"""A host that is a SLURM job: its next life when it is requeued, and its successor when its time is up."""

from __future__ import annotations

import logging
import os
from typing import Any

from dask_batch.compute.slurm.hostjob import submit_host
from dask_batch.compute.slurm.script import warning_s
from dask_batch.errors import SlurmError
from dask_batch.hostfolder import HostFolder, ProcessId
from dask_batch.jobfolder.folder import now
from dask_batch.specs.slurm import SlurmCompute

__all__ = ["as_job", "end_patience_s", "next_epoch_of_job", "succeed"]

log = logging.getLogger(__name__)

_ORDERLY_S = 45.0


def as_job() -> dict[str, Any]:
    """Return what the records of a host say that is a SLURM job."""
    return {"slurm": {"job": os.environ["SLURM_JOB_ID"], "user": os.environ["SLURM_JOB_USER"]}}


def end_patience_s(compute: SlurmCompute) -> float:
    """Return how long a host may wait for the chunks in flight when SLURM has warned it, and still end in order."""
    return max(5.0, warning_s(compute.host_walltime or compute.walltime) - _ORDERLY_S)


def next_epoch_of_job(folder: HostFolder, record: dict[str, Any]) -> int:
    """Begin the next epoch, for a job that was requeued; return 0 if the last epoch is not of this job, or one began.

    Parameters
    ----------
    folder : HostFolder
        The meeting place with the clients.
    record : dict
        What the epoch's record says.
    """
    last = folder.epoch()
    if (folder.epoch_record(last) or {}).get("slurm") != record["slurm"]:
        return 0
    return last + 1 if folder.begin_epoch(last + 1, record | {"at": now()}) else 0


def succeed(folder: HostFolder, compute: SlurmCompute) -> None:
    """Submit the next host if there are jobs left, as a client would that finds none."""
    if not folder.inbox():
        return
    epoch = folder.epoch() + 1
    attempt = folder.launches(epoch) + 1
    record = {"compute": compute.to_stored(), "by": ProcessId.of().to_json(), "at": now()}
    if not folder.begin_launch(epoch, attempt, record):
        return  # a client was quicker
    try:
        job = submit_host(folder, compute, epoch, attempt)
    except SlurmError as error:
        log.error("the next host could not be submitted: %s", error)  # noqa: TRY400 - SLURM's words say it all
        folder.note_launch(epoch, attempt, record | {"refused": str(error), "permanent": error.permanent})
        return
    folder.note_launch(epoch, attempt, record | job)
    log.info("the next host is SLURM job %s", job["slurm"]["job"])
