"""``dask-batch compute``: where jobs run."""

from __future__ import annotations

from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.options import needed
from dask_batch.cli.records import COMPUTE_COLUMNS, compute_record, show_compute
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given

__all__ = ["group"]

group = noun("compute", "Computes: where jobs run.")

_Type = Annotated[str | None, typer.Option("--type", "-t", help="local or slurm (amlcompute is read as local).")]
_Min = Annotated[int | None, typer.Option("--min-instances", help="How far it shrinks.")]
_Max = Annotated[int | None, typer.Option("--max-instances", help="How far it grows.")]
_Idle = Annotated[
    float | None, typer.Option("--idle-time-before-scale-down", metavar="SECONDS", help="When idle instances go.")
]
_Slots = Annotated[int | None, typer.Option("--slots", help="Scoring processes per instance; its cores if not given.")]
_Memory = Annotated[str | None, typer.Option("--memory", help="What an instance may use, such as 8GB.")]
_Tier = Annotated[str | None, typer.Option("--tier", help="dedicated or low_priority.")]
_Partition = Annotated[str | None, typer.Option("--partition", help="SLURM: where instances go.")]
_Account = Annotated[str | None, typer.Option("--account", help="SLURM: who pays.")]
_Cores = Annotated[int | None, typer.Option("--cores", help="SLURM: cores of an instance.")]
_Walltime = Annotated[str | None, typer.Option("--walltime", help="SLURM: time limit of an instance.")]
_Gpus = Annotated[str | None, typer.Option("--gpus", help="SLURM: GPUs of an instance, such as 1 or a100:2.")]
_Size = Annotated[str | None, typer.Option("--size", hidden=True, help="Read past; `az ml` has it.")]


@verb(
    group,
    "create",
    "dask-batch compute create --name four --type local --max-instances 1 --slots 4",
    "dask-batch compute create --name hpc --type slurm --partition cpu --cores 16 --memory 64GB --max-instances 50",
    "dask-batch compute create -f compute.yml",
)
def create(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    type_: _Type = None,
    min_instances: _Min = None,
    max_instances: _Max = None,
    idle_time_before_scale_down: _Idle = None,
    slots: _Slots = None,
    memory: _Memory = None,
    tier: _Tier = None,
    partition: _Partition = None,
    account: _Account = None,
    cores: _Cores = None,
    walltime: _Walltime = None,
    gpus: _Gpus = None,
    size: _Size = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Create a compute. `local`, this machine, is there without being created."""
    from dask_batch.specs.compute import compute_from_yaml

    limits = given(min_instances=min_instances, max_instances=max_instances, slots=slots, memory=memory, tier=tier)
    values = given(name=name, type=type_, idle_time_before_scale_down=idle_time_before_scale_down, size=size)
    values |= given(partition=partition, account=account, cores=cores, walltime=walltime, gpus=gpus)
    asked = changes(values | limits | given(description=description), set_, more, tag)
    show_compute(cli, cli.ws.compute.create(compute_from_yaml(file, asked)))


@verb(
    group,
    "update",
    "dask-batch compute update -n four --max-instances 2",
    "dask-batch compute update -n hpc --partition long --walltime 04:00:00",
    "dask-batch compute update -n four --set idle_time_before_scale_down=600",
)
def update(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    min_instances: _Min = None,
    max_instances: _Max = None,
    idle_time_before_scale_down: _Idle = None,
    slots: _Slots = None,
    memory: _Memory = None,
    tier: _Tier = None,
    partition: _Partition = None,
    account: _Account = None,
    cores: _Cores = None,
    walltime: _Walltime = None,
    gpus: _Gpus = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Change a compute; a file gives it a new definition. A host that lives keeps what it was started with."""
    from dask_batch.specs.compute import compute_from_yaml

    limits = given(min_instances=min_instances, max_instances=max_instances, slots=slots, memory=memory, tier=tier)
    values = given(idle_time_before_scale_down=idle_time_before_scale_down, description=description) | limits
    values |= given(partition=partition, account=account, cores=cores, walltime=walltime, gpus=gpus)
    if file is None:
        made = cli.ws.compute.change(needed(name, "--name"), changes(values, set_, more, tag))
    else:
        spec = compute_from_yaml(file, changes(given(name=name) | values, set_, more, tag))
        cli.ws.compute.get(spec.name)  # it must be there to be updated
        made = cli.ws.compute.create_or_update(spec)
    show_compute(cli, made)


@verb(group, "list", "dask-batch compute list")
def list_(cli: Session) -> None:
    """List the computes."""
    cli.show_all([compute_record(cli.ws, compute) for compute in cli.ws.compute.list()], COMPUTE_COLUMNS)


@verb(group, "show", "dask-batch compute show -n local -o json")
def show(cli: Session, name: options.Name) -> None:
    """Show a compute and its host: whether it lives, its instances and jobs; of SLURM, an instance's job script."""
    show_compute(cli, cli.ws.compute.get(name), script=True)


@verb(group, "start", "dask-batch compute start -n local")
def start(cli: Session, name: options.Name) -> None:
    """Start your host of a compute, if none lives; it takes up jobs that were interrupted, and goes when idle."""
    cli.ws.compute.start(name)
    show_compute(cli, cli.ws.compute.get(name))


@verb(group, "stop", "dask-batch compute stop -n local")
def stop(cli: Session, name: options.Name, timeout: options.Seconds = 60.0) -> None:
    """Stop your host of a compute. Jobs that run are interrupted and go on when it is started again."""
    cli.ws.compute.stop(name, timeout)
    show_compute(cli, cli.ws.compute.get(name))


@verb(group, "delete", "dask-batch compute delete -n four --yes")
def delete(cli: Session, name: options.Name, yes: options.Yes = False) -> None:
    """Delete a compute; `local` goes back to its defaults."""
    cli.ws.compute.get(name)
    cli.confirm(f"Delete compute {name!r}?", yes)
    cli.ws.compute.delete(name)
    cli.note(f"compute {name!r} is deleted")
