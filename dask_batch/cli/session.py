"""What every command has: a workspace, a way to answer, and one way to end."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from dask_batch.cli import options
from dask_batch.cli.options import Format
from dask_batch.cli.words import in_shell_words
from dask_batch.errors import DaskBatchError, Refused

if TYPE_CHECKING:
    from dask_batch.workspace import Workspace

__all__ = ["Session", "noun", "verb"]

_COMMON = {"root": options.Root, "catalog": options.Catalog, "output": options.Output, "debug": options.Debug}


class Session:
    """One run of one command.

    Parameters
    ----------
    root, catalog : str, optional
        Which workspace; None: what the environment says.
    output : Format, optional
        How to answer; None: as a table.
    debug : bool
        Whether errors come with their traceback.
    """

    def __init__(
        self, root: str | None = None, catalog: str | None = None, output: Format | None = None, debug: bool = False
    ) -> None:
        self.format = output or Format.TABLE
        self.debug = debug
        self._place = (root, catalog)
        self._workspace: Workspace | None = None

    @property
    def ws(self) -> Workspace:
        """The workspace; opened when it is first asked for."""
        if self._workspace is None:
            from dask_batch.workspace import Workspace

            self._workspace = Workspace(*self._place)
        return self._workspace

    @property
    def for_people(self) -> bool:
        """Whether the answer is a table."""
        return self.format is Format.TABLE

    def show(self, record: Mapping[str, Any], columns: Sequence[str] | None = None) -> None:
        """Answer with one record; a table shows `columns` of it."""
        from dask_batch.cli.render import render_one

        sys.stdout.write(render_one(record, self.format, columns))

    def show_all(self, records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
        """Answer with several records; a table shows `columns` of them."""
        from dask_batch.cli.render import render_rows

        if self.for_people and not records:
            self.note("there are none")
        else:
            sys.stdout.write(render_rows(records, self.format, columns))

    def tell(self, text: str, record: Mapping[str, Any]) -> None:
        """Answer with one text for people and plain shell scripts, and with a record in the other formats."""
        if self.for_people:
            sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        else:
            self.show(record)

    def note(self, text: str) -> None:
        """Say something to a person; it does not end up in the answer."""
        sys.stderr.write(f"{text}\n")

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something is lost.

        Raises
        ------
        Refused
            Nobody is there to answer.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise Refused(f"{question} Nobody is here to answer; add --yes")
        try:
            agreed = typer.confirm(question, err=True)
        except typer.Abort as abort:
            # The prompt makes the same of Ctrl-C and of the input's end.
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        if not agreed:
            raise typer.Abort

    def close(self) -> None:
        """Let go of the workspace."""
        if self._workspace is not None:
            self._workspace.close()


def noun(name: str, about: str) -> typer.Typer:
    """Return the group of a noun's verbs."""
    return typer.Typer(name=name, help=about, no_args_is_help=True, rich_markup_mode=None)


def verb(group: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the decorator that makes a function a verb of a noun.

    The function's first parameter is the `Session`; the options that all commands have are added to the others. Its
    docstring is the command's help.

    Parameters
    ----------
    group : typer.Typer
        The noun.
    name : str
        The verb.
    *examples : str
        Command lines for the help.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        lines = "\n".join(f"  {example}" for example in examples)
        title = "Example" if len(examples) == 1 else "Examples"
        group.command(name, epilog=f"\b\n{title}:\n{lines}")(_with_session(function))
        return function

    return register


def _with_session(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> None:
        # An option may stand before the noun or after the verb; the later one wins.
        common: dict[str, Any] = {key: values.pop(key) or (ctx.obj or {}).get(key) for key in _COMMON}
        with _ending_well(Session(**common)) as session:
            function(session, **values)

    hints = get_type_hints(function, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(function).parameters.values())[1:]
    taken = [p.replace(annotation=hints[p.name], kind=keyword) for p in own]
    added = [
        inspect.Parameter(key, keyword, annotation=hint, default=False if key == "debug" else None)
        for key, hint in _COMMON.items()
    ]
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
    parameters = [context, *sorted(taken, key=lambda p: p.default is not p.empty), *added]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


@contextmanager
def _ending_well(session: Session) -> Iterator[Session]:
    """Run a command: warnings become notes, errors become one message and an exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"warning: {in_shell_words(str(message))}")
            yield session
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer has had enough; flushing at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except (DaskBatchError, OSError) as error:
        if session.debug:
            raise
        _say(f"error: {in_shell_words(str(error)) or type(error).__name__}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _say("interrupted")
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        # Nothing that somebody types should lead here; if it does, one line is what a shell can use.
        if session.debug:
            raise
        told = " ".join(str(error).split())
        _say(f"error: internal error: {type(error).__name__}: {told}; run again with --debug for the traceback")
        raise typer.Exit(1) from None
    finally:
        session.close()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
