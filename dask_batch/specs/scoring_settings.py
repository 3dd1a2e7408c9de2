"""How a deployment scores, with Azure's names and defaults; each can be overridden at invocation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dask_batch.errors import InvalidDefinition, choose_from
from dask_batch.specs.base import FieldProblem, Spec
from dask_batch.specs.fields import Flag, FrozenDict, Variables, any_case, at_least, seconds, whole_number
from dask_batch.specs.layout import Layout
from dask_batch.specs.yamlio import WrittenBool, plain

__all__ = ["OUTPUT_ENDINGS", "SETTINGS_ALIASES", "SETTINGS_KEYS", "ScoringSettings", "override_name"]

OUTPUT_ENDINGS = (".csv", ".parquet", ".jsonl")

_RETRY = ("max_retries", "timeout", "read_timeout", "load_timeout")


def _error_threshold(value: Any) -> int | str:
    rule = "must be a whole number from -1 (any number of failures) on, or a percentage such as '2%'"
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value, re.ASCII)
        if not match:
            raise ValueError(rule)
        if not math.isfinite(float(match[1])) or float(match[1]) > 100:
            raise ValueError("must be a percentage from 0% to 100%")
        return f"{match[1]}%"
    try:
        return whole_number(value, -1)
    except ValueError:
        raise ValueError(rule) from None


def _output_file_name(value: Any) -> str:
    endings = ", ".join(OUTPUT_ENDINGS)
    if not isinstance(value, str):
        raise ValueError(f"must be a file name that ends in one of {endings}")
    if "/" in value or "\\" in value:
        raise ValueError("must be a file name without folders; the output place is given when the endpoint is invoked")
    if not value.endswith(OUTPUT_ENDINGS) or value in OUTPUT_ENDINGS:
        raise ValueError(f"must end in one of {endings}, which says the format, after a name")
    if value.startswith((".", "_")) or not value.isprintable() or len(value.encode("utf-8", "replace")) > 200:
        raise ValueError("must be a printable name of at most 200 bytes that begins with neither '.' nor '_'")
    return value


def _include_inputs(value: Any) -> bool | tuple[str, ...]:
    if isinstance(value, bool | WrittenBool):
        return bool(plain(value))
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(value) or False
    raise ValueError("must be true, false or a list of column names")


class ScoringSettings(Spec):
    """How a deployment scores.

    Parameters
    ----------
    instance_count : int
        Instances that a job may use at once.
    max_concurrency_per_instance : int, optional
        Scoring processes of a job per instance; None: every slot.
    mini_batch_size : int
        Files that a scoring script gets per call of ``run``.
    max_retries : int
        How often a mini-batch that failed is tried again before it is taken apart.
    timeout : float
        Seconds that one call of ``run`` or ``predict`` may take.
    read_timeout : float
        Seconds that reading one file, or one piece of a large file, may take.
    load_timeout : float
        Seconds that importing the script and its ``init()``, or loading the model, may take.
    error_threshold : int or str
        Failed items that a job tolerates: a number, a percentage such as ``"2%"``, or -1 for any number.
    output_action : {"append_row", "summary_only"}
        Whether what ``run`` returns is the output, or only counted.
    output_file_name : str
        The output's name; its ending, .csv, .parquet or .jsonl, is the format.
    logging_level : {"warning", "info", "debug"}
        What of the script's logging is kept.
    environment_variables : dict of str to str
        Set in the scoring processes; ``"env:NAME"`` and ``"file:PATH"`` are looked up where they are used.
    batch_rows : int
        Rows of a table per call of ``predict``.
    coalesce : bool
        Whether one call serves many small tables.
    include_inputs : bool or list of str
        Input columns that table outputs carry along: all, none, or these.
    bisect : bool
        Whether a mini-batch that keeps failing is cut until the guilty items stand alone.
    on_duplicate : {"error", "last"}
        What happens when two mini-batches write files of the same name.
    threads : int
        Threads of numerical libraries per scoring process.
    keep_parts : bool
        Whether the parts of a job stay after it ended.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.

    Notes
    -----
    Names, defaults and meaning are those of Azure ML's batch deployments, except that
    `max_concurrency_per_instance` is unset by default.

    Examples
    --------
    >>> ScoringSettings(mini_batch_size=20).with_overrides(**{"settings.mini_batch_size": 5}).mini_batch_size
    5
    """

    layout: ClassVar[Layout] = Layout(aliases={f"retry_settings.{name}": name for name in _RETRY})

    instance_count: Annotated[int, at_least(1)] = 1
    max_concurrency_per_instance: Annotated[int, at_least(1)] | None = None
    mini_batch_size: Annotated[int, at_least(1)] = 10
    output_action: Annotated[Literal["append_row", "summary_only"], BeforeValidator(any_case)] = "append_row"
    output_file_name: Annotated[str, BeforeValidator(_output_file_name)] = "predictions.csv"
    max_retries: Annotated[int, at_least(0)] = 3
    timeout: Annotated[float, seconds(zero=False)] = 30.0
    read_timeout: Annotated[float, seconds(zero=False)] = 300.0
    load_timeout: Annotated[float, seconds(zero=False)] = 600.0
    error_threshold: Annotated[int | str, BeforeValidator(_error_threshold)] = -1
    logging_level: Annotated[Literal["warning", "info", "debug"], BeforeValidator(any_case)] = "info"
    environment_variables: Variables = Field(default_factory=FrozenDict)
    batch_rows: Annotated[int, at_least(1)] = 65_536
    coalesce: Flag = True
    include_inputs: Annotated[bool | tuple[str, ...], BeforeValidator(_include_inputs)] = False
    bisect: Flag = True
    on_duplicate: Literal["error", "last"] = "error"
    threads: Annotated[int, at_least(1)] = 1
    keep_parts: Flag = False

    def with_overrides(self, **overrides: Any) -> Self:
        """Return the settings with some replaced, as an invocation asks.

        Parameters
        ----------
        **overrides
            Settings by their name here or Azure's dotted key, such as ``retry_settings.timeout``. None means not
            given; 0 means 0. Environment variables are added to those there are.

        Returns
        -------
        ScoringSettings
            Of the same class.

        Raises
        ------
        InvalidDefinition
            A setting is unknown (the message names the nearest), given twice, or its value cannot be.
        """
        changes: dict[str, Any] = {}
        for key, value in overrides.items():
            name = override_name(key)
            if value is None:
                continue
            if name in changes:
                raise InvalidDefinition(f"override {key!r}: {name} is given twice; keep one")
            changes[name] = value
        variables = changes.get("environment_variables")
        if isinstance(variables, Mapping):
            changes["environment_variables"] = {**self.environment_variables, **variables}
        return type(self)(**self._with(changes))

    def _with(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        values = super()._with(changes)
        # Whoever asks for no output file means that the name of the one there was goes.
        if any_case(values.get("output_action")) == "summary_only" and "output_file_name" not in changes:
            values.pop("output_file_name", None)
        return values

    @classmethod
    def _known(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        known = super()._known(values)
        if known.get("output_action") == "summary_only":
            known.pop("output_file_name", None)
        return known

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        if self.output_action == "summary_only" and "output_file_name" in self.model_fields_set:
            raise FieldProblem(
                "output_file_name", "output_action summary_only writes no output file; leave output_file_name out"
            )
        return self


def _setting_key(name: str) -> str:
    if name == "instance_count":
        return "resources.instance_count"
    return f"settings.retry_settings.{name}" if name in _RETRY else f"settings.{name}"


# Where Azure writes each setting of a deployment, and where else it reads one: at the top in its older layout.
SETTINGS_KEYS: dict[str, str] = {_setting_key(name): name for name in ScoringSettings.model_fields}
SETTINGS_ALIASES: dict[str, str] = {
    **{name: name for name in ScoringSettings.model_fields},
    **{f"settings.{name}": name for name in (*_RETRY, "instance_count")},
    **{f"retry_settings.{name}": name for name in _RETRY},
}


def override_name(key: str) -> str:
    """Return the setting that a key of an invocation means.

    Parameters
    ----------
    key : str
        The setting's name, or Azure's dotted key for it.

    Returns
    -------
    str
        A field of `ScoringSettings`.

    Raises
    ------
    InvalidDefinition
        There is no such setting; the message names the nearest.

    Examples
    --------
    >>> override_name("settings.mini_batch_size")
    'mini_batch_size'
    >>> override_name("compute.instance_count")
    'instance_count'
    """
    if key == "compute.instance_count":
        return "instance_count"
    name = SETTINGS_KEYS.get(key) or SETTINGS_ALIASES.get(key)
    if name is None:
        tail = key.rpartition(".")[2]
        raise InvalidDefinition(
            f"unknown override {key!r}; {choose_from(tail, ScoringSettings.model_fields, 'settings')}"
        )
    return name
