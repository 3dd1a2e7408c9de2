"""What a job is, pinned: records written when a deployment is made and when an endpoint is invoked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dask_batch.specs.base import Spec
from dask_batch.specs.compute import StoredCompute
from dask_batch.specs.fields import FrozenDict, Json, Tags, Variables
from dask_batch.specs.scoring_settings import ScoringSettings

__all__ = [
    "DeploymentSnapshot",
    "JobDefinition",
    "OutputTarget",
    "PinnedCode",
    "PinnedEnvironment",
    "PinnedModel",
]

_FORMAT = 1


def _format(value: Any) -> Any:
    if isinstance(value, int) and value > _FORMAT:
        raise ValueError(f"was written by a newer version of dask-batch (this one knows {_FORMAT}); upgrade dask-batch")
    return value


class PinnedModel(Spec):
    """The exact files of a model.

    Parameters
    ----------
    asset : str
        ``assets/<sha256>`` under the workspace's root.
    base : str
        The file or folder in it: the model is ``<asset>/<base>``.
    digest : str
        SHA-256 of the content.
    name, version : str, optional
        The registered model it came from.
    source : str
        What the user wrote, with aliases resolved.
    flavor : str, optional
        The MLflow flavor.
    signature : dict, optional
        The model's signature as a scoring process describes it.
    """

    asset: str
    base: str
    digest: str
    name: str | None = None
    version: str | None = None
    source: str
    flavor: str | None = None
    signature: Json | None = None


class PinnedCode(Spec):
    """The exact code of a scoring script.

    Parameters
    ----------
    asset : str
        ``assets/<sha256>`` under the workspace's root.
    base : str
        The folder in it: the code folder is ``<asset>/<base>``.
    digest : str
        SHA-256 of the content.
    scoring_script : str
        The script, relative to the code folder.
    """

    asset: str
    base: str
    digest: str
    scoring_script: str


class PinnedEnvironment(Spec):
    """What a Python environment is built from, as text.

    Parameters
    ----------
    name, version : str, optional
        The registered environment it came from.
    digest : str
        SHA-256 of all that decides what the environment is.
    python : str, optional
        An interpreter or prefix that exists.
    requirements : tuple of str, optional
        Requirement lines to build from.
    python_version : str, optional
        The Python to build with.
    environment_variables : dict of str to str
        Set in the scoring processes.
    """

    name: str | None = None
    version: str | None = None
    digest: str
    python: str | None = None
    requirements: tuple[str, ...] | None = None
    python_version: str | None = None
    environment_variables: Variables = Field(default_factory=FrozenDict)


class DeploymentSnapshot(Spec):
    """A deployment as it was at one moment, with everything pinned.

    Parameters
    ----------
    endpoint, name : str
        Which deployment.
    revision : int
        How often it had been deployed, from 1.
    digest : str
        SHA-256 of all that decides what a scoring process loads.
    model : PinnedModel, optional
        None: the script needs none.
    code : PinnedCode, optional
        None: an MLflow model that needs none.
    environment : PinnedEnvironment, optional
        None: the Python of the host.
    kind : {"mlflow", "script"}
        Who scores.
    input_format : {"files", "table", "images"}
        What it is given.
    compute : str
        The compute's name.
    settings : ScoringSettings
        The deployment's settings.
    description : str
        For people.
    tags, properties : dict of str to str
        For searching.
    """

    endpoint: str
    name: str
    revision: int
    digest: str
    model: PinnedModel | None = None
    code: PinnedCode | None = None
    environment: PinnedEnvironment | None = None
    kind: Literal["mlflow", "script"]
    input_format: Literal["files", "table", "images"]
    compute: str
    settings: ScoringSettings = Field(default_factory=ScoringSettings)
    description: str = ""
    tags: Tags = Field(default_factory=FrozenDict)
    properties: Tags = Field(default_factory=FrozenDict)


class OutputTarget(Spec):
    """Where a job's output goes.

    Parameters
    ----------
    url : str
        The folder.
    file_name : str
        The output in it; its ending is the format.
    overwrite : bool
        Whether an output that is there already may go.
    """

    url: str
    file_name: str
    overwrite: bool = False


class JobDefinition(Spec):
    """A job: what was asked, pinned; it never changes.

    Parameters
    ----------
    name, endpoint : str
        Which job, of which endpoint.
    deployment : DeploymentSnapshot
        What is run.
    settings : ScoringSettings
        The effective settings: the deployment's with the invocation's overrides.
    compute : LocalCompute or SlurmCompute
        Where it runs.
    inputs : tuple of str
        Absolute paths, URLs and patterns, in the user's order.
    params : dict
        What a script's ``run`` or a model's ``predict`` gets beside the input.
    tags : dict of str to str
        For searching.
    display_name : str, optional
        For people.
    experiment_name : str
        The group the job belongs to.
    owner : str
        Who invoked.
    created : str
        When, ISO 8601 in UTC.
    idempotency_key : str, optional
        A repeat of the invocation with the same key is the same job.
    output : OutputTarget
        Where the output goes.
    format : int
        The version of this record.
    """

    format: Annotated[int, BeforeValidator(_format)] = _FORMAT
    name: str
    endpoint: str
    deployment: DeploymentSnapshot
    settings: ScoringSettings
    compute: StoredCompute
    inputs: tuple[str, ...]
    params: Json = Field(default_factory=FrozenDict)
    tags: Tags = Field(default_factory=FrozenDict)
    display_name: str | None = None
    experiment_name: str
    owner: str
    created: str
    idempotency_key: str | None = None
    output: OutputTarget
