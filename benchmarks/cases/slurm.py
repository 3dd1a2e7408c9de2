"""From nothing to the first mini-batch and back to nothing, on a real SLURM; and what its controller is asked."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask_batch as db
from benchmarks.case import Case, Figure, Round
from benchmarks.cluster import asked, queue, slurm
from benchmarks.peers.jobqueue import SETTINGS
from benchmarks.task import Sample, ask

__all__ = ["polls_case", "slurm_case"]

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "waiting.py"
_IDLE_S = 5.0
_JOB, _HERE, _PEER = "dask-batch, host as a job", "dask-batch, host here", "dask-jobqueue"
_POLLS = (1, 100)


def slurm_case(scale: float) -> Case:
    """120 files that take half a second each, on two instances; the scale does not matter."""

    def sample(*command: str) -> Sample:
        with slurm() as variables:
            numbers = ask([sys.executable, "-m", *command], variables)
        return Sample(numbers["first_s"], numbers)

    ours = "benchmarks.cases.slurm"
    figures = [
        ("invoke → first mini-batch done, from zero", "first_s"),
        ("the same, warm", "warm_s"),
        ("a running instance is canceled → another one is in the queue", "replaced_s"),
        ("… → and works", "back_s"),
        (f"end of the work, and {_IDLE_S:g} idle seconds → no instance in the queue", "zero_s"),
        ("… → no host either", "no_host_s"),
    ]
    return Case(
        "slurm",
        "two instances of one core on a SLURM of this machine, mini-batches of half a second; "
        f"idle_time_before_scale_down {_IDLE_S:g} s; {SETTINGS}",
        {
            _JOB: lambda: sample(ours, "work", "job"),
            _HERE: lambda: sample(ours, "work", "here"),
            _PEER: lambda: sample("benchmarks.peers.jobqueue"),
        },
        [
            *(_figure(text, name, who) for text, name in figures for who in (_JOB, _HERE, _PEER) if _has(who, name)),
            Figure("until another is in the queue: dask-jobqueue against ours", _times("replaced_s"), at_least=1.0),
            Figure("until another works: dask-jobqueue against ours", _times("back_s"), at_least=1.0),
        ],
    )


def polls_case(scale: float) -> Case:
    """What the controller is asked per minute; the scale does not matter."""

    def sample(count: int) -> Sample:
        with slurm(cpus=40, memory_mb=80_000) as variables:
            numbers = ask([sys.executable, "-m", "benchmarks.cases.slurm", "polls", str(count)], variables)
        return Sample(numbers["all_there_s"], numbers)

    names = {count: f"{count} instance{'s' * (count > 1)}" for count in _POLLS}
    return Case(
        "slurm-polls",
        "requests that the SLURM controller got per minute, as it counts them itself; host here, instances of one core",
        {name: lambda count=count: sample(count) for count, name in names.items()},
        [
            Figure(
                f"{name}: {text}", lambda one, name=name, what=what: one[name].numbers[what], unit="per minute"
            )
            for name in names.values()
            for text, what in [
                ("looks at the queue while instances come (first minute)", "looks_first_minute"),
                ("looks at the queue while they work", "looks_at_work"),
                ("all requests while they work", "all_at_work"),
            ]
        ],
    )  # fmt: skip


def _has(who: str, name: str) -> bool:
    """Return whether a contender has a number: nothing of a `SLURMCluster` is warm, or left, after its program."""
    return who != _PEER or name not in ("warm_s", "no_host_s")


def _figure(text: str, name: str, who: str) -> Figure:
    return Figure(f"{text}: {who}", lambda one: one[who].numbers[name], unit="s")


def _times(name: str) -> Callable[[Round], float]:
    return lambda one: one[_PEER].numbers[name] / one[_JOB].numbers[name]


# -- the client's process ----------------------------------------------------------------------------------------------


def main() -> None:
    """Work, or count what SLURM is asked; print the numbers."""
    what, how = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        numbers = _work(Path(folder), how) if what == "work" else _polls(Path(folder), int(how))
    print(json.dumps(numbers))


def _work(folder: Path, host: str) -> dict[str, float]:
    inputs, calls = _inputs(folder, 120), folder / "calls"
    with db.Workspace(folder / "workspace") as ws:
        endpoint = _deployed(ws, calls, 2, 0.5, host=host)
        begun = time.time()
        job = endpoint.invoke(str(inputs), instance_count=2)
        _until(lambda: job.peek().counts.succeeded)
        numbers = {"first_s": time.time() - begun}
        numbers |= _lose_one(calls)
        job.wait(show=False)
        begun = time.time()
        warm = endpoint.invoke(str(inputs / "t000000.txt"))
        _until(lambda: warm.peek().counts.succeeded)
        numbers["warm_s"] = time.time() - begun - 0.5  # what the mini-batch takes
        warm.wait(show=False)
        begun = time.time()
        _until(lambda: not queue())
        numbers["zero_s"] = time.time() - begun
        _until(lambda: ws.compute.host("hpc").state == "absent" and not queue(hosts=True))
        numbers["no_host_s"] = time.time() - begun
    return numbers


def _lose_one(calls: Path) -> dict[str, float]:
    """Cancel an instance once two work; return how long until another is in the queue, and until it works."""
    _until(lambda: len(_workers(calls)) == 2)
    before = set(queue())
    asked("scancel", min(before))
    begun = time.time()
    _until(lambda: set(queue()) - before)
    replaced = time.time() - begun
    _until(lambda: _workers(calls) - before)
    return {"replaced_s": replaced, "back_s": time.time() - begun}


def _polls(folder: Path, count: int) -> dict[str, float]:
    # Work enough for longer than is counted.
    inputs, calls = _inputs(folder, 10 * count), folder / "calls"
    with db.Workspace(folder / "workspace") as ws:
        endpoint = _deployed(ws, calls, count, 60.0)
        asked("sdiag", "--reset")
        begun = time.time()
        job = endpoint.invoke(str(inputs), instance_count=count)
        time.sleep(60)
        numbers = {"looks_first_minute": _requests("JOB_INFO|JOB_USER_INFO")}
        _until(lambda: ws.compute.host("hpc").instances == count, 400)
        numbers["all_there_s"] = time.time() - begun
        time.sleep(30)  # nothing changes any more
        asked("sdiag", "--reset")
        time.sleep(60)
        numbers |= {"looks_at_work": _requests("JOB_INFO|JOB_USER_INFO"), "all_at_work": _requests(".*")}
        job.cancel()
        ws.compute.stop("hpc")
        _until(lambda: not queue(hosts=True))
    return numbers


def _requests(kind: str) -> float:
    """Return how many requests of clients of a kind the controller has counted since its counters were reset."""
    text = asked("sdiag").partition("Remote Procedure Call statistics by message type")[2]
    text = text.partition("Remote Procedure Call statistics by user")[0]
    found = re.findall(r"REQUEST_(\w+)\s*\(\s*\d+\)\s*count:(\d+)", text)
    of_nodes = r"COMPLETE_BATCH_SCRIPT|STEP_COMPLETE|COMPLETE_PROLOG|STATS_INFO|PING"  # and this program's own
    return float(sum(int(count) for name, count in found if re.fullmatch(rf"(?!({of_nodes})$)({kind})", name)))


def _deployed(ws: db.Workspace, calls: Path, count: int, seconds: float, **keywords: object) -> db.Endpoint:
    given = {"host": "here", "max_instances": count} | keywords
    ws.compute.create(
        db.SlurmCompute(
            name="hpc", partition="main", memory="500MB", walltime="01:00:00", host_memory="1GB",
            idle_time_before_scale_down=_IDLE_S, **given,
        )
    )  # fmt: skip
    deployment = db.ModelDeployment(
        name="d", code=str(_SCRIPT.parent), scoring_script=_SCRIPT.name, compute="hpc", mini_batch_size=1,
        environment_variables={"CALLS": str(calls), "SECONDS_EACH": str(seconds)}, timeout=600,
    )  # fmt: skip
    endpoint = ws.endpoints.create("slurm")
    endpoint.deploy(deployment)
    calls.write_text("")  # deploying tries the script
    return endpoint


def _inputs(folder: Path, count: int) -> Path:
    inputs = folder / "inputs"
    inputs.mkdir()
    for number in range(count):
        (inputs / f"t{number:06}.txt").write_text(str(number))
    return inputs


def _workers(calls: Path) -> set[str]:
    """Return the SLURM jobs that have scored something."""
    return {line.split()[1] for line in calls.read_text().splitlines() if " " in line}


def _until(condition: Callable[[], object], within_s: float = 120.0) -> None:
    begun = time.time()
    while not condition():
        if time.time() - begun > within_s:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
