"""What an invocation changes of a deployment's settings, and what it hands to the script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.keys import holds_text, key_path
from dask_batch.specs.scoring_settings import ScoringSettings, override_name
from dask_batch.specs.yamlio import plain, read_value, written

__all__ = ["apply_overrides", "check_params", "named_overrides"]

_VARIABLES = "environment_variables"


def apply_overrides(
    settings: ScoringSettings, overrides: Mapping[str, Any], dotted: Mapping[str, Any] | None
) -> ScoringSettings:
    """Return settings with an invocation's overrides.

    Parameters
    ----------
    settings : ScoringSettings
        The deployment's.
    overrides : mapping
        By keyword. None means "not given"; 0 means 0. ``environment_variables`` are added to the deployment's.
    dotted : mapping, optional
        The same by Azure's keys, such as ``{"retry_settings.timeout": 60}``; texts are read as YAML values, so that a
        shell can give numbers.

    Raises
    ------
    InvalidDefinition
        There is no such setting (the message names the nearest), it is given twice, or the value cannot be.
    """
    read = {key: value if holds_text(key) else _read(value) for key, value in (dotted or {}).items()}
    return settings.with_overrides(**named_overrides([*overrides.items(), *read.items()]))


def named_overrides(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return overrides by the name of their setting, for `ScoringSettings.with_overrides`.

    Parameters
    ----------
    given : iterable of (str, value)
        Values by name or by Azure's dotted key; ``environment_variables.NAME`` is one variable. None: not given.

    Raises
    ------
    InvalidDefinition
        There is no such setting, or it is given twice.

    Examples
    --------
    >>> named_overrides([("settings.timeout", 9), ("environment_variables.A", "1")])
    {'timeout': 9, 'environment_variables': {'A': '1'}}
    """
    changes: dict[str, Any] = {}
    keys: dict[str, str] = {}
    variables: dict[str, Any] = {}
    for key, value in given:
        *above, variable = key_path(key)
        one = holds_text(key) and override_name(".".join(above)) == _VARIABLES
        name = key if one else override_name(key)
        if value is None:
            continue
        if name in keys:
            raise InvalidDefinition(f"override {key!r}: {name} is given twice, first as {keys[name]!r}; keep one")
        keys[name] = key
        if one:
            variables[variable] = value
        else:
            changes[name] = value
    if variables:
        changes[_VARIABLES] = {**(changes.get(_VARIABLES) or {}), **variables}
    # How a number was written counts where text is wanted, and nowhere else.
    return {name: _written_texts(value) if name == _VARIABLES else plain(value) for name, value in changes.items()}


def _written_texts(value: Any) -> Any:
    return {key: written(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _read(value: Any) -> Any:
    return read_value(value) if isinstance(value, str) else value


def check_params(params: Mapping[str, Any] | None, deployment: str, takes_params: bool | None) -> dict[str, Any]:
    """Return the parameters of an invocation, after making sure that they can be handed over.

    Parameters
    ----------
    params : mapping, optional
        JSON-able values by name.
    deployment : str
        For the message.
    takes_params : bool, optional
        Whether the script's ``run`` has a second argument; None: not known.

    Raises
    ------
    InvalidDefinition
        They are no JSON, or the script does not take any.
    """
    if params is not None and not isinstance(params, Mapping):
        raise InvalidDefinition(f"params={params!r} must be values by name, such as params={{'limit': 3}}")
    if not params:
        return {}
    if takes_params is False:
        raise InvalidDefinition(
            f"deployment {deployment!r} takes no params: its run() has one argument; "
            "write def run(mini_batch, params) to get them, or leave params= out"
        )
    try:
        read = json.loads(json.dumps(dict(params), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidDefinition(
            f"params= cannot be written as JSON: {error}; use texts, numbers, lists and dicts"
        ) from error
    return dict(read)
