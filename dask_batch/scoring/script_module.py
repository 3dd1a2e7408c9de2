"""The user's scoring script: import it, find ``init``, ``run`` and ``shutdown``; and the model folder it sees."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from dask_batch.scoring.scorer import Load, Place

__all__ = ["ScriptIncomplete", "ScriptModule", "import_script", "model_view", "takes_params"]


class ScriptIncomplete(Exception):
    """The scoring script lacks a function that it must have, or is not there."""


@dataclass(frozen=True)
class ScriptModule:
    """A scoring script, imported.

    Parameters
    ----------
    path : str
        The script.
    init, run : callable
        Azure's contract: ``init()`` once per process, ``run(mini_batch)`` or ``run(mini_batch, params)``.
    shutdown : callable, optional
        Called once at the end, if there.
    takes_params : bool
        Whether ``run`` takes the invocation's parameters.
    """

    path: str
    init: Callable[[], Any]
    run: Callable[..., Any]
    shutdown: Callable[[], Any] | None
    takes_params: bool

    def call(self, mini_batch: Any, params: dict[str, Any]) -> Any:
        """Return what ``run`` returns for a mini-batch."""
        return self.run(mini_batch, params) if self.takes_params else self.run(mini_batch)

    def description(self) -> dict[str, Any]:
        """Return what the ``loaded`` message says of a script."""
        return {
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "flavor": None,
            "signature": None,
            "takes_params": self.takes_params,
            "has_shutdown": self.shutdown is not None,
            "package_problems": [],
        }


def import_script(load: Load, place: Place) -> ScriptModule:
    """Import the script of a deployment and call its ``init()``, as a program started in its folder would.

    ``sys.path`` starts with the code folder (and the script's own, if it is in a sub-folder); ``sys.argv`` is the
    script and ``--logging_level``, as on Azure; ``AZUREML_MODEL_DIR`` and ``AZUREML_BI_OUTPUT_PATH`` are set.

    Raises
    ------
    ScriptIncomplete
        The script is not there, or lacks ``init`` or ``run``; the message says what was found.
    BaseException
        Whatever the script raises while it is imported or in ``init()``.
    """
    script = load.scoring_script or ""
    path = os.path.join(load.code_path or "", script)
    if not load.code_path or not script or not os.path.isfile(path):
        raise ScriptIncomplete(
            f"there is no scoring script {script!r} in the code folder {load.code_path}; "
            "scoring_script is a path relative to that folder"
        )
    os.environ["AZUREML_BI_OUTPUT_PATH"] = place.outbox.path
    if load.model_path:
        os.environ["AZUREML_MODEL_DIR"] = model_view(load.model_path, os.path.join(place.scratch, "model"))
    sys.argv = [path, "--logging_level", load.logging_level]
    name = _module_name(path)
    _extend_path(load.code_path, os.path.dirname(path))
    with place.guard.loading():
        found = _find(_import(path, name), path, script)
        found.init()
    return found


def model_view(model_path: str, folder: str) -> str:
    """Return the folder that scripts know as ``AZUREML_MODEL_DIR``, with the model in it under its own name.

    Usually it is `folder`, made to show the model in both places where scripts look for it: it holds a link with the
    model's own name, and if the model is a folder, links to what is in it, so that ``$AZUREML_MODEL_DIR/model/weights``
    and ``$AZUREML_MODEL_DIR/weights`` are the same file. For an MLflow model it is the folder that the model lies in,
    because MLflow loads nothing through links that lead out of a folder.

    Parameters
    ----------
    model_path : str
        The model: a file or a folder.
    folder : str
        Where to make the links; created if there are any.
    """
    if os.path.isfile(os.path.join(model_path, "MLmodel")):
        return os.path.dirname(model_path.rstrip("/"))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    own = os.path.basename(model_path.rstrip("/"))
    os.symlink(model_path, os.path.join(folder, own))
    if os.path.isdir(model_path):
        for name in os.listdir(model_path):
            if name != own:
                os.symlink(os.path.join(model_path, name), os.path.join(folder, name))
    return folder


def takes_params(run: Callable[..., Any]) -> bool:
    """Return whether ``run`` takes the invocation's parameters: a second positional one without default, or ``params``.

    Examples
    --------
    >>> takes_params(lambda mini_batch: []), takes_params(lambda mini_batch, options: [])
    (False, True)
    >>> takes_params(lambda mini_batch, debug=False: []), takes_params(lambda mini_batch, params=None: [])
    (False, True)
    """
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 2:
        return False
    return positional[1].default is inspect.Parameter.empty or positional[1].name == "params"


def _extend_path(*folders: str) -> None:
    """Put the folders first, as Python does with the folder of a program; our own working folder goes."""
    first = list(dict.fromkeys(os.path.abspath(folder) for folder in folders))
    sys.path[:] = first + [entry for entry in sys.path if entry and os.path.abspath(entry) not in first]
    importlib.invalidate_caches()


def _module_name(path: str) -> str:
    """Return the script's own name, unless a module can be imported by that name before its folder is on the path."""
    stem = os.path.splitext(os.path.basename(path))[0]
    # A script called json.py or numpy.py must not replace the module that everybody else means by that name.
    return f"scoring_script_{stem}" if stem in sys.modules or _can_be_imported(stem) else stem


def _can_be_imported(name: str) -> bool:
    spec = None if "." in name else importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # any folder on the path is a namespace package, of no origin


def _import(path: str, name: str) -> ModuleType:
    """Import a file, whatever characters its name has."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScriptIncomplete(f"the scoring script {path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _find(module: ModuleType, path: str, script: str) -> ScriptModule:
    missing = [name for name in ("init", "run") if not callable(getattr(module, name, None))]
    if missing:
        functions = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        found = f"it defines {', '.join(sorted(functions))}" if functions else "it defines no functions"
        raise ScriptIncomplete(
            f"scoring script {script!r} has no function {' and no function '.join(missing)} ({found}); "
            "a scoring script needs init() and run(mini_batch)"
        )
    with_params = takes_params(module.run)
    _check_call(module.init, (), f"{script}: init", "def init():")
    given = (None, None) if with_params else (None,)
    _check_call(module.run, given, f"{script}: run", "def run(mini_batch): or def run(mini_batch, params):")
    shutdown = getattr(module, "shutdown", None)
    return ScriptModule(
        path=path,
        init=module.init,
        run=module.run,
        shutdown=shutdown if callable(shutdown) else None,
        takes_params=with_params,
    )


def _check_call(function: Callable[..., Any], given: tuple[Any, ...], what: str, wanted: str) -> None:
    """Raise ScriptIncomplete unless a function can be called with these arguments, as far as it says."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise ScriptIncomplete(f"{what}{signature} cannot be called: {error}; write {wanted}") from None
