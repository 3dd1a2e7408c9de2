"""The computes of a workspace. ``"local"``, this machine, is there without being created."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dask_batch.errors import AlreadyExists, InvalidDefinition, NotFound, Refused, choose_from
from dask_batch.jobs.context import Context
from dask_batch.jobs.hosts import HostState, host_state, leave_nothing, script_of_instance, start_host, stop_host
from dask_batch.jobs.job import Job
from dask_batch.specs.compute import (
    IMPLICIT,
    Compute,
    LocalCompute,
    compute_from_stored,
    compute_from_yaml,
    parse_compute,
)
from dask_batch.specs.names import check_name
from dask_batch.specs.slurm import SlurmCompute

__all__ = ["Computes"]


class Computes:
    """The computes of a workspace, by name."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getitem__(self, name: str) -> Compute:
        return self.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __repr__(self) -> str:
        return f"<Computes: {', '.join(self.names())}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import table_html

        rows = [[c.name, c.type, c.min_instances, c.max_instances, c.known_slots or "cores"] for c in self.list()]
        return table_html("Computes", ["name", "type", "min instances", "max instances", "slots"], rows)

    def names(self) -> list[str]:
        """Return the names of all computes, sorted."""
        return sorted({IMPLICIT, *(record.name for record in self._context.catalog.computes.list())})

    def list(self) -> list[Compute]:
        """Return all computes, sorted by name."""
        return [self.get(name) for name in self.names()]

    def get(self, name: str) -> Compute:
        """Return a compute.

        Raises
        ------
        NotFound
            There is no such compute; the message lists those that exist.
        """
        created = {record.name: record.document for record in self._context.catalog.computes.list()}
        if name in created:
            return compute_from_stored(created[name])
        if name == IMPLICIT:
            return LocalCompute(name=IMPLICIT)
        raise NotFound(f"there is no compute {name!r}; {choose_from(name, self.names(), 'computes')}")

    def create(self, compute: Compute | str | os.PathLike[str], **keywords: Any) -> Compute:
        """Create a compute and return it.

        Parameters
        ----------
        compute : LocalCompute, SlurmCompute, str or path
            The definition, a YAML file that ends in ``.yml`` or ``.yaml``, or a name, with the rest as keywords.
        **keywords
            Keys of `LocalCompute`; with ``type="slurm"`` those of `SlurmCompute`.

        Raises
        ------
        AlreadyExists
            There is a compute of that name.
        """
        spec = _spec(compute, keywords)
        self._context.catalog.computes.create(spec.name, spec.to_stored())
        return spec

    def create_or_update(self, compute: Compute | str | os.PathLike[str], **keywords: Any) -> Compute:
        """Create a compute, or replace the one of that name. A host that lives keeps what it was started with."""
        spec = _spec(compute, keywords)
        try:
            self._context.catalog.computes.create(spec.name, spec.to_stored())
        except AlreadyExists:
            self._context.catalog.computes.update(spec.name, spec.to_stored())
        return spec

    def update(self, name: str, **changes: Any) -> Compute:
        """Change some keys of a compute and return it; what is not named stays, whoever changes it at the same time."""
        return self._revise(name, lambda spec: spec.replace(**changes))

    def change(self, name: str, given: Mapping[str, Any]) -> Compute:
        """Change dotted keys, as a shell gives them, and return the compute: ``{"tags.team": "ml"}`` adds a tag."""
        return self._revise(name, lambda spec: spec.replace(**spec.changed_fields(given)))

    def _revise(self, name: str, change: Callable[[Compute], Compute]) -> Compute:
        def revision(document: dict[str, Any]) -> dict[str, Any]:
            changed = change(compute_from_stored(document))
            if changed.name != name:
                raise InvalidDefinition(
                    f"compute {name!r} cannot be renamed to {changed.name!r}: deployments name it; create another one"
                )
            return changed.to_stored()

        catalog, standing = self._context.catalog.computes, self.get(name)
        if name == IMPLICIT:
            # It is written down when it is first changed; somebody else may do so at this moment.
            with contextlib.suppress(AlreadyExists):
                return compute_from_stored(catalog.create(name, revision(standing.to_stored())).document)
        return compute_from_stored(catalog.update(name, revision).document)

    def delete(self, name: str) -> None:
        """Delete a compute; ``"local"`` goes back to its defaults.

        Raises
        ------
        Refused
            It has jobs that have not ended.
        """
        self.get(name)
        live = self._live_jobs(name)
        if live:
            raise Refused(
                f"compute {name!r} has jobs that have not ended ({len(live)}: {', '.join(live[:5])}); "
                "wait for them, or cancel them"
            )
        stop_host(self._context.storage, name)
        leave_nothing(self._context.storage, self.get(name))
        # The implicit one may never have been changed, and then it is nowhere.
        with contextlib.suppress(*([NotFound] if name == IMPLICIT else [])):
            self._context.catalog.computes.delete(name)

    def _live_jobs(self, name: str) -> tuple[str, ...]:
        """Return the jobs in the caller's inbox that have not ended; a host that is gone leaves them there."""
        live = []
        for job in self._context.host_folder(name, self._context.user).inbox():
            with contextlib.suppress(NotFound):  # its folder was deleted
                if not Job(self._context, job).peek().terminal:
                    live.append(job)
        return tuple(live)

    def host(self, name: str) -> HostState:
        """Return what can be seen of the caller's host of a compute: whether it lives, its instances, its jobs."""
        return host_state(self._context.storage, self.get(name).name)

    def script(self, name: str) -> str:
        """Return the job script of an instance of a SLURM compute, as `sbatch` gets it.

        Raises
        ------
        Refused
            It is no SLURM compute.
        """
        compute = self.get(name)
        if not isinstance(compute, SlurmCompute):
            raise Refused(f"compute {name!r} has no job script: its type is {compute.type}, and only slurm has them")
        return script_of_instance(self._context.storage, compute)

    def start(self, name: str) -> None:
        """Start the caller's host of a compute unless one lives; interrupted jobs go on. It ends again when idle.

        Raises
        ------
        HostFailed
            The process could not be started.
        """
        start_host(self._context.storage, self.get(name))

    def stop(self, name: str, timeout: float = 60.0) -> None:
        """End the caller's host of a compute; its jobs are interrupted, and go on under the next host.

        Parameters
        ----------
        name : str
            The compute.
        timeout : float
            Seconds to wait until it has ended.

        Raises
        ------
        Refused
            The host runs on another machine.
        WaitTimeout
            It has not ended in time; the request stands.
        """
        compute = self.get(name)
        stop_host(self._context.storage, name, timeout)
        leave_nothing(self._context.storage, compute)


def _spec(compute: Compute | str | os.PathLike[str], keywords: dict[str, Any]) -> Compute:
    if isinstance(compute, LocalCompute | SlurmCompute):
        return compute.replace(**keywords) if keywords else compute
    text = os.fspath(compute)
    if text.endswith((".yml", ".yaml")):
        spec = compute_from_yaml(text)
        return spec.replace(**keywords) if keywords else spec
    if keywords.get("type", "local") != "local":
        return parse_compute({"name": text, **keywords})
    return LocalCompute(**{"name": check_name(text, "compute"), **keywords})
