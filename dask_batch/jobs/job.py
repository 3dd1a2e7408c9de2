"""A job from outside: a name and verbs. Nothing is kept in memory, so any process can pick a job up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from dask_batch.errors import HostFailed, NotFound
from dask_batch.jobfolder.states import State
from dask_batch.jobfolder.status import read_events
from dask_batch.jobs.cancel import cancel_job
from dask_batch.jobs.context import Context
from dask_batch.jobs.cost import Cost
from dask_batch.jobs.joblogs import read_logs
from dask_batch.jobs.launch import keeps_failing
from dask_batch.jobs.reading import JobStatus, read_job_status
from dask_batch.jobs.resuming import go_on
from dask_batch.jobs.revive import Reviver
from dask_batch.jobs.telling import Teller
from dask_batch.jobs.text import describe
from dask_batch.outputs.claim import release_output
from dask_batch.specs.job import JobDefinition

if TYPE_CHECKING:
    from dask_batch.jobs.explaining import Explanation

__all__ = ["Job"]


class Job:
    """A job of a workspace, by name; get one from ``ep.invoke(…)`` or ``ws.jobs["…"]``.

    Attributes
    ----------
    name, endpoint, deployment, compute, owner, created : str
        Which job, of what, where, whose and since when.
    inputs : tuple of str
        What it scores: absolute paths, URLs and patterns.
    params : dict
        What a script's ``run`` gets as its second argument.
    tags : dict of str
        Tags given at the invocation.
    display_name : str, optional
        A name for people.
    experiment_name : str
        What it is filed under.

    Raises
    ------
    NotFound
        There is no such job.
    """

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.folder = context.job_folder(name)
        record = self.folder.definition()
        if record is None:
            raise NotFound(
                f"there is no job {name!r} in {context.storage.root!r}; ws.jobs.list() shows those that exist"
            )
        self.definition = JobDefinition.from_stored(record)
        self.name = name
        self.endpoint = self.definition.endpoint
        self.deployment = self.definition.deployment.name
        self.compute = self.definition.compute.name
        self.owner = self.definition.owner
        self.created = self.definition.created
        self.inputs = self.definition.inputs
        self.params = dict(self.definition.params)
        self.tags = dict(self.definition.tags)
        self.display_name = self.definition.display_name
        self.experiment_name = self.definition.experiment_name
        self.host = context.host_folder(self.compute, self.owner)
        self.reviver = Reviver(context.storage, self.definition.compute, self.owner, name)
        self._teller = Teller(context.catalog, name)

    def __repr__(self) -> str:
        return f"<Job {self.name!r} of {self.endpoint}/{self.deployment}: {describe(self.peek())}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import job_html

        return job_html(self, self.peek())

    # -- where it stands -----------------------------------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        """Where the job stands now, as a string that carries the details.

        An interrupted job of the one who asks is taken up again: a host is started.
        """
        return self.look()

    def look(self, *, strict: bool = False) -> JobStatus:
        """Return where the job stands, as `status` does.

        Parameters
        ----------
        strict : bool
            Raise HostFailed, rather than say ``Interrupted``, when hosts keep ending without any progress.
        """
        status = self.peek()
        if status.state is not State.INTERRUPTED or self.owner != self.context.user:
            return status
        if not strict and (self.reviver.exhausted(status) or keeps_failing(self.host)):
            return status
        view = self.reviver.revive(status)
        if strict and view.here:
            raise HostFailed(f"job {self.name!r} waits for a host, which cannot be started from here: {view.why}")
        return self.peek()

    def peek(self) -> JobStatus:
        """Return where the job stands, as `status` does, without taking it up again if it is interrupted."""
        status = read_job_status(self.folder, self.host)
        self._teller.tell(status)
        return status

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1: by bytes of input for tables, by files for scripts."""
        return self.peek().progress

    @property
    def cost(self) -> Cost:
        """What the job has used so far."""
        status = self.peek()
        return Cost(status.instance_seconds, status.slot_seconds, status.core_seconds)

    def events(self) -> list[dict[str, Any]]:
        """Return what happened to the job, oldest first: dicts with ``at``, ``event`` and details."""
        return read_events(self.folder)

    # -- waiting -------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, show: bool | None = None) -> Job:
        """Wait until the job has ended, showing its progress; return the job.

        Interrupting the wait (Ctrl-C) leaves the job alone. If the job's host has died, one is started again.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to give up waiting; the job goes on.
        show : bool, optional
            Whether to show progress. None: in notebooks and terminals.

        Raises
        ------
        JobFailed
            It failed; the message holds the first error and what to do next.
        JobCanceled
            It was canceled.
        WaitTimeout
            `timeout` seconds are over.
        HostFailed
            Its host was started again and again and did not stay.
        """
        from dask_batch.jobs.waiting import conclude, wait_for

        return conclude(self, wait_for(self, timeout, show))

    def stream(self, timeout: float | None = None) -> Job:
        """Print what the user code prints and where the job stands until it has ended; return the job.

        Parameters and errors are those of `wait`.
        """
        from dask_batch.jobs.waiting import conclude, stream_to_stdout

        return conclude(self, stream_to_stdout(self, timeout))

    def cancel(self, timeout: float = 30.0) -> Job:
        """Cancel the job and return it; what is finished by now stays readable (``results(partial=True)``).

        Parameters
        ----------
        timeout : float
            Seconds to wait for its host's answer; an answer takes less than 5 s. Without a host there is no wait.

        Raises
        ------
        Refused
            Too late: the job was completed, failed or canceled before.
        WaitTimeout
            The host has not answered; the request stands.
        """
        from dask_batch.jobs.rows import counting

        cancel_job(self.folder, self.host, self.context.user, timeout)
        if not counting(self.folder):
            release_output(self.definition.output.url, self.name)
        self.peek()
        return self

    @overload
    def resume(self, *, explain: Literal[False] = False, **overrides: Any) -> Job: ...

    @overload
    def resume(self, *, explain: Literal[True], **overrides: Any) -> Explanation: ...

    def resume(self, *, explain: bool = False, **overrides: Any) -> Job | Explanation:
        """Go on with a failed, canceled or interrupted job, in a new run, and return it.

        What is finished stays finished, recorded failures included; only what no run has scored yet is scored, on the
        job's compute as it is defined now. An interrupted job goes on by itself as well, on the compute as it was.

        Parameters
        ----------
        explain : bool
            Do nothing; return what would be scored, what would not, and why.
        **overrides
            Settings that this run and later ones change, such as ``error_threshold="5%"`` or ``timeout=300``.

        Raises
        ------
        Refused
            The job is completed, still goes on, or belongs to somebody else.
        InvalidDefinition
            There is no such setting, or not with this value, or it is fixed by the job's plan.

        Examples
        --------
        >>> print(job.resume(explain=True))                                           # doctest: +SKIP
        >>> job.resume(error_threshold="5%").wait()                                   # doctest: +SKIP
        """
        if explain:
            return self._explain(retry=False)
        return go_on(self, overrides, "all")

    @overload
    def retry_failed(self, *, explain: Literal[False] = False, **overrides: Any) -> Job: ...

    @overload
    def retry_failed(self, *, explain: Literal[True], **overrides: Any) -> Explanation: ...

    def retry_failed(self, *, explain: bool = False, **overrides: Any) -> Job | Explanation:
        """Score the failed items of a job that has ended again, in a new run, and return the job.

        Also of a completed job: what succeeds now goes into the outputs where it belongs, in input order, and leaves
        `errors`; what fails again stays there with its new reason. Of a failed or canceled job, what no run has scored
        yet is scored too. Files that have changed since the job was planned fail with that reason.

        Parameters
        ----------
        explain : bool
            Do nothing; return what would be scored, what would not, and why.
        **overrides
            Settings that this run and later ones change, such as ``timeout=300`` or ``max_retries=5``.

        Raises
        ------
        Refused
            No item is failed, the job still goes on, or it belongs to somebody else.
        NotFound
            Its compute was deleted.
        InvalidDefinition
            There is no such setting, or not with this value, or it is fixed by the job's plan.
        AlreadyExists
            Another job has taken the output place.

        Examples
        --------
        >>> job.retry_failed(timeout=300).wait()                                      # doctest: +SKIP
        """
        if explain:
            return self._explain(retry=True)
        return go_on(self, overrides, "failed")

    # -- what it made --------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> dict[str, str]:
        """Where the outputs are, or will be: path or URL by output name (``"score"``)."""
        return {"score": self.definition.output.url}

    def results(self, as_: Literal["pandas", "dask", "arrow", "path"] = "pandas", *, partial: bool = False) -> Any:
        """Return the predictions, in input order.

        Parameters
        ----------
        as_ : str
            ``"pandas"``: a DataFrame. ``"dask"``: a Dask DataFrame; parquet
            outputs are read when it is computed. ``"arrow"``: a
            `pyarrow.Table`. ``"path"``: the path or URL of the output.
        partial : bool
            Read what is committed so far, of a job that runs, failed or was canceled.

        Raises
        ------
        Refused
            The job has not completed and `partial` is not set.
        JobFailed, JobCanceled
            It ended without completing and `partial` is not set.
        """
        from dask_batch.jobs import rows

        return rows.results(self, as_, partial)

    def errors(self, as_: Literal["pandas", "table"] = "pandas") -> Any:
        """Return a row per failed item: file, row, stage, type, message, traceback, attempts.

        Parameters
        ----------
        as_ : str
            ``"pandas"``: the errors. ``"table"``: the values of the failed rows, as the model would have got them,
            indexed by ``source_file`` and ``source_row``: correct them, and invoke the endpoint with the DataFrame or
            with a file of it.
        """
        from dask_batch.jobs import rows

        return rows.errors(self, as_)

    def mini_batches(self) -> Any:
        """Return a DataFrame with a row per finished mini-batch.

        Columns: mini_batch, items, rows, failed, attempts (calls of user code), process_deaths, instance_losses,
        storage_errors (how often scoring it began anew, and why), instance, seconds.
        """
        from dask_batch.jobs import rows

        return rows.mini_batches(self)

    def logs(self, kind: Literal["user", "host", "all"] = "user", tail: int | None = None) -> str:
        """Return logs: what user code printed and logged (``"user"``), the host's (``"host"``), or ``"all"``.

        Parameters
        ----------
        kind : str
            Which logs.
        tail : int, optional
            Only the last lines of each.
        """
        return read_logs(self.folder, kind, tail, self.host)

    def download(self, path: str, name: str = "score") -> str:
        """Copy an output to a local folder and return that folder.

        Parameters
        ----------
        path : str
            A folder that does not exist or is empty.
        name : str
            Which output.

        Raises
        ------
        AlreadyExists
            The folder has files in it.
        Refused
            The job has not completed.
        """
        from dask_batch.jobs import rows

        return rows.download(self, path, name)

    def delete(self) -> None:
        """Delete the job: its folder, outputs in it included, and its place in the catalog.

        Outputs that the invocation put elsewhere stay. Where this is interrupted the job is gone all the same, and what
        is left of it can be deleted again.

        Raises
        ------
        Refused
            The job has not ended; cancel it first.
        NotFound
            It is deleted already.
        """
        from dask_batch.jobs.deleting import delete_job

        delete_job(self)

    # -- inside --------------------------------------------------------------------------------------------------

    def _explain(self, *, retry: bool) -> Explanation:
        from dask_batch.jobs.explaining import explain

        return explain(self, retry=retry)
