"""A workspace with one endpoint, a job on it that nothing disturbs, and rounds of the same job under fire."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_processes import hosts, kill, strays
from chaos_script import AT_ONCE, Kill, draw
from chaos_stage import Stage

from dask_batch import ModelDeployment, Workspace
from dask_batch.errors import NotFound
from dask_batch.jobs.hosts import host_state
from dask_batch.jobs.job import Job
from dask_batch.outputs.target import OWNER, SUCCESS, marker
from dask_batch.storage import Storage

__all__ = ["Ground", "Tally"]

PATIENCE_S = 240.0

_CLIENT = """
import sys, warnings
warnings.simplefilter("ignore")
from dask_batch import Workspace
from dask_batch.errors import HostFailed
from dask_batch.jobs import launch

launch.STALE_S = 6.0  # so that rounds in which a host freezes do not take long
root, inputs, output, name, file_name = sys.argv[1:]
with Workspace(root) as ws:
    job = ws.endpoints["chaos"].invoke(
        inputs, output=output, job_name=name, idempotency_key=name, output_file_name=file_name
    )
    for _ in range(3):
        try:
            job.wait(show=False)
            break
        except HostFailed:
            pass  # so many hosts were killed in a row; as the message says, waiting again goes on
"""


@dataclass
class Tally:
    """What rounds came to."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    needed: int = 0
    repeated: int = 0

    def __str__(self) -> str:
        share = self.repeated / self.needed if self.needed else 0.0
        return (
            f"{self.rounds} rounds, {self.kills.total()} kills ({told(self.kills)}); {self.rows:,} rows and failures "
            f"compared, {self.lost} lost, {self.doubled} doubled; user code got {self.needed:,} items as it had to, "
            f"and {self.repeated:,} ({share:.1%}) once more"
        )

    def __add__(self, other: Tally) -> Tally:
        numbers = ("rounds", "rows", "lost", "doubled", "needed", "repeated")
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Tally(kills=self.kills + other.kills, **sums)


def told(kills: Counter[str]) -> str:
    """Return kills by kind, for people."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kills.items())) or "none"


@dataclass(frozen=True)
class Outcome:
    """What a job left.

    Parameters
    ----------
    rows, errors, mini_batches : list of tuple
        Predictions in order; failures in order; what was done of each mini-batch.
    files : dict of str to bytes
        Everything in the output place, but for who made it.
    said : dict
        What ``_SUCCESS`` says of it.
    counts : Counts
        What the job says of itself.
    """

    rows: list[tuple[Any, ...]]
    errors: list[tuple[Any, ...]]
    mini_batches: list[tuple[Any, ...]]
    files: dict[str, bytes]
    said: dict[str, Any]
    counts: Any


class Ground:
    """A place for rounds; use it as a context, after which nothing of it runs.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder.
    file_name : str
        What the job writes.
    stage : Stage
        Where it runs.
    """

    def __init__(self, folder: Path, file_name: str, stage: Stage) -> None:
        self.folder, self.file_name, self.stage = folder, file_name, stage
        self.inputs, self.calls, self.said = folder / "input", folder / "calls", folder / "clients.log"
        self.scratch, self.root = folder / "scratch", folder / "workspace"
        self.inputs.mkdir(parents=True)
        self.calls.touch()
        self.tally = Tally()
        self.ws = Workspace(self.root)

    def __enter__(self) -> Ground:
        self.ws.compute.create_or_update(self.stage.compute())
        deployment = self.deployment().replace(instance_count=self.stage.instances)
        self.ws.endpoints.create("chaos").deploy(deployment)
        self.fill()
        self.expected = self._undisturbed("first")
        self.needed = self._called()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._check_that_all_is_as_before()
            self.stage.end(self)
            if kind is None:
                _eventually(lambda: not self._strays(), lambda: f"processes outlive their host: {self._strays()}")
                self._check_that_scratch_is_empty()
        finally:
            kill(hosts(self.folder))
            self.ws.close()

    # -- what kinds of job differ in -----------------------------------------------------------------------------

    def deployment(self) -> ModelDeployment:
        """Return what is deployed; its code appends each item that it gets to the file `calls`."""
        raise NotImplementedError

    def fill(self) -> None:
        """Write the input, some of which is bad."""
        raise NotImplementedError

    # -- one round -----------------------------------------------------------------------------------------------

    def play(self, seed: int) -> str:
        """Run the job once more, disturb it as the seed says, compare what it leaves; return what happened."""
        name, before = f"round-{seed}", self.tally.kills.copy()
        self.client = self._start_client(name)
        try:
            for one in draw(seed, self.stage.odds):
                self._strike(name, one)
            self._await(self.client)
        finally:
            self.client.kill()
            self.client.wait()
        job = self.ws.jobs.get(name)
        self._compare(self._outcome(job))
        job.delete()
        self._check_that_nothing_is_left_of(name)
        return told(self.tally.kills - before)

    def _strike(self, name: str, one: Kill) -> None:
        """Let one thing happen once the job has come far enough."""
        if one.at != AT_ONCE and not self.until(lambda: self.reached(name, one.at)):
            return
        time.sleep(one.after_s)  # a moment that was drawn; nothing is waited for
        if one.kind == "client":
            if self.client.poll() is None:
                self.tally.kills["client"] += 1
            self.replace_client(name)
        elif self.until(lambda: bool(hosts(self.folder))) and self.stage.strike(self, name, one):
            self.tally.kills[one.kind] += 1

    # -- for stages ----------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; False if the client ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.client.poll() is not None:
                return False
            assert time.monotonic() < deadline, "the job does not come further"
            time.sleep(0.02)
        return True

    def reached(self, name: str, share: float) -> bool:
        """Return whether a job has come so far."""
        try:
            status = self.ws.jobs.get(name).peek()
        except NotFound:
            return False
        return status.terminal or status.progress >= share

    def epoch(self) -> int:
        """Return the epoch of the newest host."""
        return host_state(self.ws.storage, "local").epoch

    def replace_client(self, name: str, where: Sequence[str] = ()) -> None:
        """Kill the client, and start another for the same job; `where` begins its command."""
        self.client.kill()
        self.client.wait()
        self.client = self._start_client(name, where)

    # -- clients -------------------------------------------------------------------------------------------------

    def _start_client(self, name: str, where: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a process that invokes the endpoint and waits; the same name is the same job."""
        arguments = [self.root, self.inputs, self.folder / "output" / name, name, self.file_name]
        command = [*where, sys.executable, "-c", _CLIENT, *map(str, arguments)]
        environment = os.environ | {"DASK_BATCH_SCRATCH": str(self.scratch)}
        with self.said.open("ab") as said:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)

    def _await(self, client: subprocess.Popen[bytes]) -> None:
        try:
            status = client.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("the job does not end") from None
        assert status == 0, f"the client failed: {self.said.read_text(errors='replace')[-2000:]}"

    def _undisturbed(self, name: str) -> Outcome:
        with self._start_client(name) as client:
            self._await(client)
        return self._outcome(self.ws.jobs.get(name))

    # -- comparing -----------------------------------------------------------------------------------------------

    def _outcome(self, job: Job) -> Outcome:
        place = Path(job.outputs["score"])
        found = sorted(path for path in place.rglob("*") if path.name not in (OWNER, SUCCESS))
        files = {str(path.relative_to(place)): b"" if path.is_dir() else path.read_bytes() for path in found}
        said = marker(Storage(str(place)))
        assert (said.pop("job"), said.pop("created")) == (job.name, job.definition.created)
        errors = job.errors()[["file", "row", "type", "message"]].astype(object)
        mini_batches = job.mini_batches()[["mini_batch", "items", "rows", "failed"]]
        return Outcome(
            rows=list(job.results().itertuples(index=False, name=None)),
            errors=[tuple(map(str, error)) for error in errors.itertuples(index=False, name=None)],
            mini_batches=list(mini_batches.itertuples(index=False, name=None)),
            files=files,
            said=said,
            counts=job.status.counts,
        )

    def _compare(self, outcome: Outcome) -> None:
        expected, tally = self.expected, self.tally
        items, wanted = (Counter([*one.rows, *one.errors]) for one in (outcome, expected))
        tally.rounds += 1
        tally.rows += wanted.total()
        tally.lost += (wanted - items).total()
        tally.doubled += (items - wanted).total()
        tally.needed += self.needed
        tally.repeated += max(0, self._called() - self.needed)
        assert outcome.rows == expected.rows, f"rows differ: {_difference(outcome.rows, expected.rows)}"
        assert outcome.errors == expected.errors, f"failures differ: {_difference(outcome.errors, expected.errors)}"
        assert outcome.counts == expected.counts, f"counts differ: {outcome.counts}, not {expected.counts}"
        differing = _difference(outcome.files.items(), expected.files.items())
        assert outcome.files == expected.files, f"files differ: {differing}"
        assert outcome.said == expected.said, f"_SUCCESS differs: {outcome.said}, not {expected.said}"
        differing = _difference(outcome.mini_batches, expected.mini_batches)
        assert outcome.mini_batches == expected.mini_batches, f"mini-batches differ: {differing}"

    def _called(self) -> int:
        """Return how many items user code was called with since this was asked last."""
        count = self.calls.read_bytes().count(b"\n")
        os.truncate(self.calls, 0)
        return count

    # -- what is left --------------------------------------------------------------------------------------------

    def _check_that_nothing_is_left_of(self, name: str) -> None:
        """Make sure that of a round nothing but the newest host is left, with what it started, and no file."""
        _eventually(lambda: not self._strays(), lambda: f"processes are left: {self._strays()}")
        inbox = self.root / "hosts" / "local" / "chaos" / "inbox"
        _eventually(lambda: not os.listdir(inbox) or not hosts(self.folder), lambda: f"{os.listdir(inbox)} are left")
        assert not (self.root / "jobs" / name).exists(), "files of a deleted job are left"

    def _check_that_all_is_as_before(self) -> None:
        outcome = self._undisturbed("last")
        assert outcome == self.expected, "an undisturbed job after all rounds leaves something else"

    def _strays(self) -> list[str]:
        return strays(self.folder, self.epoch())

    def _check_that_scratch_is_empty(self) -> None:
        """Make sure that the last host has removed its own files, and those of the hosts that were killed."""
        left = list(self.scratch.rglob("processes/*"))
        left += [path for path in self.scratch.rglob("dask/dask-scratch-space/*") if path.is_dir()]
        assert not left, f"scratch files are left: {left}"


def _difference(found: Any, wanted: Any) -> str:
    """Return what there is too much and too little, shortened."""
    found, wanted = list(found), list(wanted)
    more, less = [one for one in found if one not in wanted], [one for one in wanted if one not in found]
    return f"{len(more)} too many {str(more)[:500]}, {len(less)} missing {str(less)[:500]}"


def _eventually(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
