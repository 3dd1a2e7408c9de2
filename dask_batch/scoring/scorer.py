"""What every scorer is: it takes a request and leaves rows and failures in a sink.

The process (`dask_batch.scoring.process`) makes one scorer from the ``load`` message and keeps it for its life:

* scripts on files: `dask_batch.scoring.script.ScriptScorer`
* tables: `dask_batch.scoring.tables.TableScorer`
* images: `dask_batch.scoring.images.ImageScorer`

Each is called with ``(load: Load, place: Place)``; what it raises then is the deployment's failure to load.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from dask_batch.scoring.cell import Cell
from dask_batch.scoring.guard import Guard
from dask_batch.scoring.outbox import Outbox
from dask_batch.scoring.records import Verdict

if TYPE_CHECKING:
    from dask_batch.scoring.sink import Sink

__all__ = ["Load", "Place", "Request", "ScoreSettings", "Scorer"]


@dataclass(frozen=True)
class Load:
    """The ``load`` message: a deployment, on this machine's disk.

    Parameters
    ----------
    key : str
        Names the deployment; the same key is the same code, model and settings.
    kind : str
        ``"mlflow"`` or ``"script"``.
    input_format : str
        ``"files"``, ``"table"`` or ``"images"``.
    model_path, code_path : str, optional
        Absolute paths of the model (a file or a folder) and of the code folder.
    scoring_script : str, optional
        The script's path below `code_path`.
    environment_variables : dict of str to str
        The deployment's; they are in ``os.environ`` already when a scorer is made.
    logging_level : str
        ``"warning"``, ``"info"`` or ``"debug"``.
    threads : int
        How many threads numerical libraries may use.
    check_packages : bool
        Whether to compare the installed packages with those that the model was made with.
    """

    key: str
    kind: str
    input_format: str
    model_path: str | None = None
    code_path: str | None = None
    scoring_script: str | None = None
    environment_variables: dict[str, str] | None = None
    logging_level: str = "info"
    threads: int = 1
    check_packages: bool = False

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Load:
        """Return the message as a value; keys that it does not know are passed over."""
        return cls(**_known(cls, message))


@dataclass(frozen=True)
class ScoreSettings:
    """The settings that a ``score`` message brings along.

    Parameters
    ----------
    max_retries : int
        Further attempts of a mini-batch whose call raised.
    bisect : bool
        Whether a failing mini-batch is halved until the guilty items stand alone.
    batch_rows : int
        Rows of one ``predict`` on tables.
    coalesce : bool
        Whether one ``predict`` may serve several small files.
    include_inputs : bool or tuple of str
        Input columns to carry along: all, none, or those named.
    output_action : str
        ``"append_row"`` or ``"summary_only"``.
    on_duplicate : str
        ``"error"`` or ``"last"``: what two calls that leave a file of the same name in the output folder get.
    types : list of list of str, optional
        Columns of table input, fixed for the whole job: the name, the Arrow type, and ``"optional"`` if files may lack
        the column.
    prefetch_bytes : int
        How much input may be read ahead.
    """

    max_retries: int = 3
    bisect: bool = True
    batch_rows: int = 65536
    coalesce: bool = True
    include_inputs: bool | tuple[str, ...] = False
    output_action: str = "append_row"
    on_duplicate: str = "error"
    types: list[list[str]] | None = None
    prefetch_bytes: int = 256 << 20

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> ScoreSettings:
        """Return the record as a value; keys that it does not know are passed over."""
        known = _known(cls, message)
        if isinstance(known.get("include_inputs"), list):
            known["include_inputs"] = tuple(known["include_inputs"])
        return cls(**known)


@dataclass(frozen=True)
class Request:
    """The ``score`` message: one chunk.

    Parameters
    ----------
    job, run : str, int
        What it is for.
    first, stop : int
        Mini-batches `first` to `stop` - 1 of the plan.
    items : tuple of (int, int or None), optional
        Only items lo to hi - 1 of the one mini-batch; hi None: to its end.
    only : list of (int, int or None), optional
        Only rows lo to hi - 1 of the one split that is there: those that failed before.
    mini_batches : list of list of dict
        The splits of each mini-batch, as the plan describes them.
    folder : str
        Path or URL of the job's folder.
    attempt : str
        A random id: the name of everything this attempt writes.
    settings : ScoreSettings
        The job's effective settings.
    params : dict
        The invocation's parameters, for scripts that take them.
    verdict : dict, optional
        The error record that the items of this chunk fail with; user code must not be run on them.
    """

    job: str
    run: int
    first: int
    stop: int
    items: tuple[int, int | None] | None
    mini_batches: list[list[dict[str, Any]]]
    folder: str
    attempt: str
    settings: ScoreSettings
    params: dict[str, Any]
    verdict: dict[str, Any] | None = None
    only: list[tuple[int, int | None]] | None = None

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Request:
        """Return the message as a value."""
        chunk, only = message["chunk"], message.get("only")
        settings = ScoreSettings.from_message(message.get("settings") or {})
        verdict = message.get("verdict")
        if verdict is not None:
            # There is nothing to try again and nobody to look for.
            settings = replace(settings, max_retries=0, bisect=False)
        return cls(
            job=message["job"],
            run=message["run"],
            first=chunk[0],
            stop=chunk[1],
            items=(chunk[2], chunk[3]) if len(chunk) > 2 else None,
            mini_batches=message["mini_batches"],
            folder=message["folder"],
            attempt=message["attempt"],
            settings=settings,
            params=message.get("params") or {},
            verdict=verdict,
            only=None if only is None else [(lo, hi) for lo, hi in only],
        )

    def check_verdict(self) -> None:
        """Raise the verdict on the chunk's items, if there is one; called in place of user code."""
        if self.verdict is not None:
            raise Verdict(self.verdict)


@dataclass(frozen=True)
class Place:
    """Where a scorer works.

    Parameters
    ----------
    scratch : str
        A private folder of the process.
    cell : Cell
        Where to say what goes on: ``cell.set("read", READ, mini_batch, split, split + 1)`` while reading holds up the
        scoring, ``cell.set("read", IDLE)`` after. RUN is set by the guard.
    guard : Guard
        Surrounds every call of user code: ``with place.guard.running(mini_batch, lo, hi): …``.
    outbox : Outbox
        The folder behind ``AZUREML_BI_OUTPUT_PATH``. After a call that failed: ``place.outbox.discard()``; after one
        that succeeded: ``sink.collect(mini_batch)``.
    """

    scratch: str
    cell: Cell
    guard: Guard
    outbox: Outbox


class Scorer(Protocol):
    """A deployment, loaded."""

    def description(self) -> dict[str, Any]:
        """Return ``python``, ``flavor``, ``signature``, ``takes_params``, ``has_shutdown``, ``package_problems``."""

    def score(self, request: Request, sink: Sink) -> None:
        """Score a chunk: leave rows, failures and one ``finish_mini_batch`` per mini-batch in `sink`.

        Failures of items never escape; `ChunkFailed` does.
        """

    def shutdown(self) -> None:
        """Let user code tidy up; the process ends after."""


def _known(cls: type[Any], message: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    return {name: value for name, value in message.items() if name in names}
