"""``dask-batch job``: invocations, while they run and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from dask_batch.cli import following, options
from dask_batch.cli.records import show_frame, show_job, show_jobs
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import pairs

__all__ = ["group"]

group = noun("job", "Jobs: invocations, running and over.")

_Rows = Annotated[int | None, typer.Option("--limit", min=0, help="Rows at most, 0 for all; a table has the first 20.")]

_Explain = Annotated[
    bool, typer.Option("--explain", help="Do nothing; say what would be scored, what would not, and why.")
]


@verb(
    group,
    "list",
    "dask-batch job list --status Running",
    "dask-batch job list --endpoint heart --tag team=ml --limit 5 -o json",
)
def list_(
    cli: Session,
    endpoint: Annotated[str | None, typer.Option("--endpoint", "--endpoint-name", "-e", help="Only of this.")] = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", "--deployment-name", "-d", help="Only of this.")
    ] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only jobs that stand there, such as Failed.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="KEY[=VALUE]", help="Only jobs with this tag.")] = None,
    limit: options.Limit = 50,
    offset: options.Offset = 0,
) -> None:
    """List jobs, newest first."""
    show_jobs(
        cli,
        cli.ws.jobs.list(endpoint=endpoint, deployment=deployment, status=status, tag=tag, limit=limit, offset=offset),
    )


@verb(group, "show", "dask-batch job show -n heart-20261103-101500-3fa2c1 -o json")
def show(cli: Session, name: options.Name) -> None:
    """Show what a job was asked and where it stands. An interrupted job of yours is taken up again."""
    job = cli.ws.jobs.get(name)
    show_job(cli, job, job.status)


@verb(group, "wait", "dask-batch job wait -n heart-20261103-101500-3fa2c1 --timeout 3600")
def wait(cli: Session, name: options.Name, timeout: options.Timeout = None) -> None:
    """Wait for a job's end, showing its progress; exit 1 if it does not complete."""
    following.follow(cli, cli.ws.jobs.get(name), timeout)


@verb(group, "stream", "dask-batch job stream -n heart-20261103-101500-3fa2c1")
def stream(cli: Session, name: options.Name, timeout: options.Timeout = None) -> None:
    """Follow what a job's code prints, and its progress, to its end; exit 1 if it does not complete."""
    following.stream(cli, cli.ws.jobs.get(name), timeout)


@verb(group, "cancel", "dask-batch job cancel -n heart-20261103-101500-3fa2c1")
def cancel(cli: Session, name: options.Name) -> None:
    """Cancel a job; what is finished by now stays readable."""
    job = cli.ws.jobs.get(name).cancel()
    show_job(cli, job, job.peek())


@verb(
    group,
    "resume",
    "dask-batch job resume -n heart-20261103-101500-3fa2c1 --set error_threshold=5% --wait",
)
def resume(
    cli: Session,
    name: options.Name,
    set_: options.Set = None,
    more: options.Pairs = None,
    wait: options.Wait = False,
    explain: _Explain = False,
) -> None:
    """Go on with a failed or canceled job; what is finished stays finished."""
    _go_on(cli, cli.ws.jobs.get(name).resume, set_, more, wait=wait, explain=explain)


@verb(
    group,
    "retry-failed",
    "dask-batch job retry-failed -n heart-20261103-101500-3fa2c1 --explain",
    "dask-batch job retry-failed -n heart-20261103-101500-3fa2c1 --set timeout=300 --wait",
)
def retry_failed(
    cli: Session,
    name: options.Name,
    set_: options.Set = None,
    more: options.Pairs = None,
    wait: options.Wait = False,
    explain: _Explain = False,
) -> None:
    """Score a job's failed items again; what succeeds goes into its outputs, also of a completed job."""
    _go_on(cli, cli.ws.jobs.get(name).retry_failed, set_, more, wait=wait, explain=explain)


def _go_on(
    cli: Session,
    go_on: Callable[..., Any],
    set_: list[str] | None,
    more: list[str] | None,
    *,
    wait: bool,
    explain: bool,
) -> None:
    """Open another run of a job by one of its methods; or tell what that would score."""
    from dask_batch.endpoints.overrides import named_overrides

    if explain:
        explanation = go_on(explain=True)
        cli.tell(str(explanation), explanation.to_json())
        return
    changes = pairs([*(set_ or ()), *(more or ())], "--set")
    following.set_off(cli, go_on(**named_overrides(changes.items())), wait)


@verb(
    group,
    "results",
    "dask-batch job results -n heart-20261103-101500-3fa2c1",
    "dask-batch job results -n heart-20261103-101500-3fa2c1 -o csv > predictions.csv",
)
def results(
    cli: Session,
    name: options.Name,
    limit: _Rows = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="What is finished so far, of a job that has not completed.")
    ] = False,
) -> None:
    """Print a job's predictions, in input order."""
    job = cli.ws.jobs.get(name)
    show_frame(cli, job.results(partial=partial), limit, f"dask-batch job download -n {name} copies the output")


@verb(
    group,
    "errors",
    "dask-batch job errors -n heart-20261103-101500-3fa2c1",
    "dask-batch job errors -n heart-20261103-101500-3fa2c1 -o json",
)
def errors(
    cli: Session,
    name: options.Name,
    limit: _Rows = None,
    values: Annotated[
        bool, typer.Option("--values", help="The values of the failed rows, as the model would have got them.")
    ] = False,
) -> None:
    """Print a row per failed item: file, row, stage, type, message; tracebacks with -o json."""
    frame = cli.ws.jobs.get(name).errors("table" if values else "pandas")
    shown = frame.drop(columns="traceback", errors="ignore") if cli.for_people else frame
    show_frame(cli, shown, limit, "--limit 0 shows all")


@verb(group, "mini-batches", "dask-batch job mini-batches -n heart-20261103-101500-3fa2c1 -o csv")
def mini_batches(cli: Session, name: options.Name, limit: _Rows = None) -> None:
    """Print a row per finished mini-batch: items, rows, failed, attempts, instance, seconds."""
    show_frame(cli, cli.ws.jobs.get(name).mini_batches(), limit, "--limit 0 shows all")


@verb(group, "logs", "dask-batch job logs -n heart-20261103-101500-3fa2c1 --kind all --tail 100")
def logs(
    cli: Session,
    name: options.Name,
    kind: Annotated[
        Literal["user", "host", "all"], typer.Option("--kind", help="user (the script's), host or all.")
    ] = "user",
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last lines of each log.")] = None,
) -> None:
    """Print a job's logs."""
    text = cli.ws.jobs.get(name).logs(kind, tail)
    cli.tell(text, {"name": name, "kind": kind, "logs": text})


@verb(group, "download", "dask-batch job download -n heart-20261103-101500-3fa2c1 -p ./predictions")
def download(
    cli: Session,
    name: options.Name,
    download_path: Annotated[
        str | None, typer.Option("--download-path", "-p", help="A new or empty folder; ./NAME if not given.")
    ] = None,
    output_name: Annotated[str, typer.Option("--output-name", help="Which output.")] = "score",
) -> None:
    """Copy a job's output to a local folder and print that folder."""
    folder = cli.ws.jobs.get(name).download(download_path or name, output_name)
    cli.tell(folder, {"name": name, "output": output_name, "path": folder})


@verb(group, "delete", "dask-batch job delete -n heart-20261103-101500-3fa2c1 --yes")
def delete(cli: Session, name: options.Name, yes: options.Yes = False) -> None:
    """Delete a job that has ended, with the outputs in its folder; outputs put elsewhere stay."""
    cli.confirm(f"Delete job {name!r} and the outputs in its folder?", yes)
    cli.ws.jobs.delete(name)
    cli.note(f"job {name!r} is deleted")
