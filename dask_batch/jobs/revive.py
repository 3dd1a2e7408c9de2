"""Taking an interrupted job up again: its owner's next look starts a host, and hosts that keep dying are named."""

from __future__ import annotations

from dask_batch.errors import HostFailed, StorageError
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.runs import current_run, run_compute
from dask_batch.jobs.launch import MOST_STARTS, HostView, ensure_host, host_log
from dask_batch.jobs.reading import JobStatus
from dask_batch.specs.compute import Compute
from dask_batch.storage import Storage

__all__ = ["Reviver"]


class Reviver:
    """Starts hosts for one interrupted job, at most a few in a row that bring it no further.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    compute : LocalCompute or SlurmCompute
        The compute that the job was invoked on; later runs may have changed it.
    owner, job : str
        Whose job, and which.
    """

    def __init__(self, storage: Storage, compute: Compute, owner: str, job: str) -> None:
        self._storage = storage
        self._compute = compute
        self._job = job
        self._folder = HostFolder(storage, compute.name, owner)
        self._starts = 0
        self._reached = -1

    def revive(self, status: JobStatus) -> HostView:
        """Start a host for a job whose status is ``Interrupted``, and return what can be seen of it.

        Raises
        ------
        HostFailed
            Several hosts in a row ended without bringing the job further; the message holds the end of the last log.
        StorageError
            The storage takes no request for a host: its disk is full, or it must not be written.
        """
        if self.exhausted(status):
            raise HostFailed(self._story())
        self._reached = max(self._reached, status.counts.items)
        try:
            self._folder.post(self._job)
            view = ensure_host(self._storage, self._compute_of_run(), self._folder.user)
        except OSError as error:
            raise StorageError(
                error.errno,
                f"job {self._job!r} is interrupted, and no host can be started for it: {error.strerror or error}: "
                f"{error.filename or self._storage.root!r}; make room or allow writing there, then job.wait() goes on",
            ) from error
        if not view.refused:  # the cluster takes nothing at the moment, which passes
            self._starts += 1
        return view

    def _compute_of_run(self) -> Compute:
        folder = JobFolder(self._storage, self._job)
        return run_compute(folder, current_run(folder), self._compute)

    def forget(self) -> None:
        """Begin anew: whoever waits again may have mended what kept hosts from starting."""
        self._starts = 0

    def exhausted(self, status: JobStatus) -> bool:
        """Return whether `revive` would raise."""
        if status.counts.items > self._reached:
            self._starts = 0
        return self._starts >= MOST_STARTS

    def _story(self) -> str:
        path, tail = host_log(self._folder)
        said = f"; the end of {path}:\n\n{tail}" if tail else ""
        return (
            f"job {self._job!r} is interrupted: the host of compute {self._compute.name!r} was started {MOST_STARTS} "
            "times and ended without scoring anything. What is finished is kept. wait() tries again; if the compute "
            f"had to be corrected, resume() goes on with it as it is by then{said}"
        )
