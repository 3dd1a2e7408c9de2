"""MLflow models: load from a local folder, describe, predict."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MlflowModel", "NotThisPython", "package_problems"]

# Set before mlflow is imported: a scoring process talks to no server, and sends nothing home.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_SCALARS = {"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"}
# Flavors whose ``predict`` takes a DataFrame as it is. What `mlflow.pyfunc` adds around it is schema enforcement alone.
_PLAIN_LOADERS = {
    "mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost", "mlflow.statsmodels",
    "mlflow.pyfunc.model", "mlflow.pyfunc.loaders.code_model",  # classes and functions of the user's own
}  # fmt: skip
_INTEGERS = {"integer": "int32", "long": "int64"}
_REQUIREMENT_COMMENT = re.compile(r"(^|\s)#.*$")


class NotThisPython(ImportError):
    """MLflow, or a package that the model needs, is not installed in the deployment's environment."""


class MlflowModel:
    """A model with the ``python_function`` flavor.

    Parameters
    ----------
    path : str
        The model's folder, with the file ``MLmodel``.

    Raises
    ------
    NotThisPython
        MLflow is not installed.
    Exception
        Whatever mlflow or the model raise when it is loaded.
    """

    def __init__(self, path: str) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow warns of its own type hints
                import mlflow.pyfunc
        except ModuleNotFoundError as error:
            if error.name != "mlflow":
                raise
            raise NotThisPython(
                "the deployment's environment has no mlflow, which an MLflow model needs; "
                "add mlflow or mlflow-skinny to its requirements"
            ) from error
        # Its own comparison of requirements takes a second, and is done better by `package_problems`.
        self._pyfunc = mlflow.pyfunc.load_model(path, suppress_warnings=True)
        metadata = self._pyfunc.metadata
        flavor: dict[str, Any] = metadata.flavors["python_function"]
        self.path = path
        self.flavor: str = re.sub(r"^mlflow\.", "", str(flavor.get("loader_module", ""))) or "python_function"
        self.signature = _signature_of(metadata)
        self.takes_params = getattr(metadata.signature, "params", None) is not None
        self._direct = self._direct_predict(flavor)

    def describe(self, check_packages: bool) -> dict[str, Any]:
        """Return what the ``loaded`` message says of the model."""
        return {
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "flavor": self.flavor,
            "signature": self.signature,
            "takes_params": self.takes_params,
            "has_shutdown": False,
            "package_problems": package_problems(self.path) if check_packages else [],
        }

    def predict(self, frame: Any, params: dict[str, Any]) -> Any:
        """Return the predictions for a DataFrame whose columns and types are those of the signature.

        Parameters
        ----------
        frame : pandas.DataFrame
            One row per item.
        params : dict
            The invocation's parameters; passed on if the model's signature has some.
        """
        if self._direct is not None:
            return self._direct(frame)
        frame = self._integers_again(frame)
        return self._pyfunc.predict(frame, params=params or None) if self.takes_params else self._pyfunc.predict(frame)

    def predict_array(self, array: npt.NDArray[Any]) -> Any:
        """Return the predictions for an array of shape (items, …), by name if the signature names its tensor."""
        schema = self._pyfunc.metadata.get_input_schema()
        if schema is not None and schema.has_input_names():
            return self._pyfunc.predict({schema.input_names()[0]: array})
        return self._pyfunc.predict(array)

    def _integers_again(self, frame: Any) -> Any:
        """Return the frame with integers that are floats because others, in rows that are not here, are missing."""
        columns = (self.signature or {}).get("inputs") or []
        types = {
            name: _INTEGERS[column["type"]]
            for column in columns
            if (name := column["name"]) in frame.columns
            and column["type"] in _INTEGERS
            and frame[name].dtype.kind == "f"
            and not frame[name].hasnans
        }
        return frame.astype(types) if types else frame

    def _direct_predict(self, flavor: dict[str, Any]) -> Any:
        """Return the flavor's own ``predict`` if ours has done all that `mlflow.pyfunc` would do before calling it.

        Columns are chosen, ordered and cast by us, per row and more kindly: MLflow refuses a whole batch because one
        integer is missing. That is so for signatures of named scalar columns without parameters, and for flavors
        whose wrapper does nothing else with its input. `_model_impl` is MLflow's "stable developer API".
        """
        inputs = (self.signature or {}).get("inputs")
        if self.takes_params or not inputs or flavor.get("loader_module") not in _PLAIN_LOADERS:
            return None
        if any(column["name"] is None or column["type"] not in _SCALARS for column in inputs):
            return None
        implementation = getattr(self._pyfunc, "_model_impl", None)
        return getattr(implementation, flavor.get("predict_fn", "predict"), None)


def package_problems(path: str) -> list[str]:
    """Return what of the model's ``requirements.txt`` is missing here or another version, a sentence each.

    Parameters
    ----------
    path : str
        The model's folder.
    """
    try:
        with open(os.path.join(path, "requirements.txt"), encoding="utf-8") as file:
            lines = [_REQUIREMENT_COMMENT.sub("", line).strip() for line in file]
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    problems = (_problem(line) for line in lines if line and not line.startswith("-") and "://" not in line)
    return [problem for problem in problems if problem]


def _problem(line: str) -> str | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    name = requirement.name
    # mlflow-skinny is mlflow for our purposes.
    for candidate in [name, "mlflow-skinny"] if name == "mlflow" else [name]:
        try:
            installed = importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            return None
        return f"the model was made with {name}{requirement.specifier}, and {candidate} {installed} is installed."
    return f"the model needs {name}{requirement.specifier}, which is not installed."


def _signature_of(metadata: Any) -> dict[str, Any] | None:
    inputs, outputs = metadata.get_input_schema(), metadata.get_output_schema()
    if inputs is None:
        return None
    tensor = None
    columns = None
    if inputs.is_tensor_spec():
        spec = inputs.inputs[0]
        tensor = {"dtype": np.dtype(spec.type).name, "shape": [int(n) for n in spec.shape]}
    else:
        columns = [
            {"name": column.name, "type": _type_name(column.type), "required": _is_required(column)}
            for column in inputs.inputs
        ]
    return {"inputs": columns, "tensor": tensor, "outputs": _outputs_of(outputs)}


def _is_required(column: Any) -> bool:
    """MLflow before 2.9 said ``optional``, and at first nothing."""
    return bool(getattr(column, "required", not getattr(column, "optional", False)))


def _outputs_of(outputs: Any) -> list[dict[str, Any]] | None:
    if outputs is None:
        return None
    if outputs.is_tensor_spec():
        return [{"name": spec.name, "type": np.dtype(spec.type).name} for spec in outputs.inputs]
    return [{"name": column.name, "type": _type_name(column.type)} for column in outputs.inputs]


def _type_name(what: Any) -> str:
    name = getattr(what, "name", None)
    return name if isinstance(name, str) else str(what)
