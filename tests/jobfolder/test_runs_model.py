"""Whatever hosts and clients do to a job, in any order: each item counts once, and what counted once counts for ever.

The code that keeps the ledger, adopts, decides and opens runs is the real one. Hosts freeze and go on with what they
knew; they crash; they commit and decide after they were replaced. Scoring is a draw of which items fail.
"""

from __future__ import annotations

import json
import shutil
import tempfile

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dask_batch.host.deciding import decide
from dask_batch.host.scoreboard import Scoreboard
from dask_batch.host.verdicts import entry_of
from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, Ledger, latest_adoption
from dask_batch.jobfolder.plan import PLAN_SCHEMA, Plan, PlanInfo
from dask_batch.jobfolder.runs import open_run, retries_failed
from dask_batch.jobs.cancel import canceled_decision
from dask_batch.outputs.records import read_error_records
from dask_batch.planning.cutting import Suspect, after_death
from dask_batch.planning.failed import FailedItems
from dask_batch.storage import Storage

MINI_BATCHES, ITEMS = 4, 3
EVERYTHING = {(mini_batch, item) for mini_batch in range(MINI_BATCHES) for item in range(ITEMS)}
HOSTS = st.integers(0, 2)
FAILING = st.sets(st.integers(0, ITEMS - 1))


class Host:
    """One life: what it knew of the job when it took it up, and what it has done since."""

    def __init__(self, folder: JobFolder, epoch: int, plan: Plan) -> None:
        self.folder, self.epoch, self.plan = folder, epoch, plan
        self.take_up()

    def take_up(self) -> None:
        """Begin with the newest run, as a coordinator does."""
        self.run = self.folder.runs()[-1]
        self.ledger = Ledger(self.folder, self.epoch, self.run)
        entries = self.ledger.adopt()
        failed = None
        if retries_failed(self.folder, self.run):
            earlier = [entry for entry in entries if entry.run < self.run]
            failed = FailedItems(read_error_records(self.folder, earlier), table=False)
        self.board = Scoreboard(self.plan, entries, self.run, failed)


def _is_behind(host: Host) -> bool:
    return host.run < host.folder.runs()[-1]


def _has_work(host: Host) -> bool:
    return bool(host.board.backlog)


def _has_scored(host: Host) -> bool:
    return bool(host.board.uncommitted)


def _is_done(host: Host) -> bool:
    return host.board.done


class Runs(RuleBasedStateMachine):
    """A job of four mini-batches of three files, up to three hosts that believe they own it, and clients."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: dict[int, Host] = {}

    @initialize()
    def begin(self) -> None:
        self.root = tempfile.mkdtemp(prefix="dask-batch-model-")
        self.folder = JobFolder(Storage(self.root), "job")
        rows = [
            {
                "mini_batch": n // ITEMS,
                "file": n,
                "path": f"/in/{n}",
                "size": 1,
                "version": "",
                "format": "",
                "cut": "whole",
            }
            for n in range(MINI_BATCHES * ITEMS)
        ]
        self.plan = Plan(pa.Table.from_pylist(rows, PLAN_SCHEMA), PlanInfo("files", len(rows), len(rows)))
        self.folder.create({})
        open_run(self.folder, 1, "client")
        self.epoch = 0
        self.attempts = 0
        self.good: dict[str, set[tuple[int, int]]] = {}
        """What each attempt scored well."""
        self.decided: dict[int, dict] = {}

    def teardown(self) -> None:
        if hasattr(self, "root"):
            try:
                self.finish()
            finally:
                shutil.rmtree(self.root)

    # -- hosts ---------------------------------------------------------------------------------------------------

    @rule(number=HOSTS)
    def a_host_begins(self, number):
        """Whoever was there under this number has crashed; the others are frozen, and go on whenever they like."""
        self.epoch += 1
        self.hosts[number] = Host(self.folder, self.epoch, self.plan)

    @precondition(lambda self: self._some(_is_behind))
    @rule(number=HOSTS)
    def a_host_takes_up_the_newest_run(self, number):
        self._one(number, _is_behind).take_up()

    @precondition(lambda self: self._some(_has_work))
    @rule(number=HOSTS, bad=FAILING, slots=st.integers(1, 3))
    def a_host_scores_a_chunk(self, number, bad, slots):
        self._score(self._one(number, _has_work), bad, slots)

    @precondition(lambda self: self._some(_has_work))
    @rule(number=HOSTS, bad=FAILING, chunks=st.integers(1, 4))
    def a_host_scores_some_chunks_and_commits_them(self, number, bad, chunks):
        host = self._one(number, _has_work)
        for _ in range(chunks):
            if host.board.backlog:
                self._score(host, bad, 1)
        self._commit(host)

    @precondition(lambda self: self._some(_has_work))
    @rule(number=HOSTS, bad=FAILING)
    def a_host_completes_its_run(self, number, bad):
        host = self._one(number, _has_work)
        while host.board.backlog:
            self._score(host, bad, 2)
        self._commit(host)
        self._decide(host, "Completed")

    @precondition(lambda self: self._some(_has_work))
    @rule(number=HOSTS, where=st.integers(0, MINI_BATCHES - 1), item=st.integers(0, ITEMS - 1))
    def a_chunk_is_cut_around_a_death(self, number, where, item):
        host = self._one(number, _has_work)
        work = host.board.take(1)
        host.board.drop(work)
        inside = work.chunk.begin <= (where, item) < work.chunk.end
        suspect = Suspect(where, (item, item + 1)) if inside else None
        host.board.put_back(after_death(work, suspect, max_retries=1, bisect=True, verdict={}))

    @precondition(lambda self: self._some(_has_scored))
    @rule(number=HOSTS)
    def a_host_commits(self, number):
        self._commit(self._one(number, _has_scored))

    @precondition(lambda self: self._some(_is_done))
    @rule(number=HOSTS)
    def a_host_decides_that_all_is_done(self, number):
        self._decide(self._one(number, _is_done), "Completed")

    @precondition(lambda self: self.hosts)
    @rule(number=HOSTS, outcome=st.sampled_from(["Failed", "Canceled"]))
    def a_host_gives_up(self, number, outcome):
        self._decide(self._one(number, lambda _: True), outcome)

    # -- clients -------------------------------------------------------------------------------------------------

    @rule()
    def a_client_asks_to_cancel(self):
        self.folder.request_cancel(self.folder.runs()[-1], "client")

    @rule()
    def a_client_cancels_as_no_host_seems_to_live(self):
        run = self.folder.runs()[-1]
        self.folder.request_cancel(run, "client")
        self.folder.decide(run, canceled_decision(self.folder, run, "client"))

    @precondition(lambda self: self._standing() not in (None, "Completed"))
    @rule()
    def a_client_resumes(self):
        open_run(self.folder, self.folder.runs()[-1] + 1, "client")

    @precondition(lambda self: self._standing() is not None)
    @rule()
    def a_client_retries_what_failed(self):
        open_run(self.folder, self.folder.runs()[-1] + 1, "client", retry="failed")

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def each_decision_stands_and_is_whole(self):
        for run in self.folder.runs() if hasattr(self, "root") else ():
            decision = self.folder.decision(run)
            if decision is None:
                continue
            assert self.decided.setdefault(run, decision) == decision, "a decision changed"
            self._check(run, decision)

    def _check(self, run, decision):
        entries = [Entry.from_json(record) for record in decision["entries"]]
        good, bad = self._good(entries), self._bad(entries)
        assert not good & bad, "an item is in the output and in the errors"
        counts = Counts.from_json(decision["counts"])
        assert (counts.items, counts.succeeded, counts.failed) == (len(good | bad), len(good), len(bad))
        if decision["outcome"] == "Completed":
            assert good | bad == EVERYTHING, "an item is missing"
        if run - 1 in self.decided:
            earlier = [Entry.from_json(record) for record in self.decided[run - 1]["entries"]]
            assert self._good(earlier) <= good, "what was finished is no more"
            assert self._good(earlier) | self._bad(earlier) <= good | bad

    def _good(self, entries):
        """Return what is in the output, and make sure that nothing is there twice."""
        found = [item for entry in entries for item in self.good[entry.instance]]
        assert len(found) == len(set(found)), "an item is in the output twice"
        return set(found)

    def _bad(self, entries):
        records = read_error_records(self.folder, entries)
        found = [(record["mini_batch"], record["item"]) for record in records]
        assert len(found) == len(set(found)), "an item is in the errors twice"
        return set(found)

    # -- how it is done ------------------------------------------------------------------------------------------

    def _some(self, condition):
        return [host for _, host in sorted(self.hosts.items()) if condition(host)]

    def _one(self, number, condition):
        able = self._some(condition)
        return able[number % len(able)]

    def _standing(self):
        decision = self.folder.decision(self.folder.runs()[-1])
        return decision and decision["outcome"]

    def _score(self, host, bad, slots):
        work = host.board.take(slots)
        host.board.drop(work)
        items = {point for point in EVERYTHING if work.chunk.begin <= point < work.chunk.end}
        failing = items if work.verdict is not None else {point for point in items if point[1] in bad}
        self.attempts += 1
        attempt = f"a{self.attempts}"
        self.good[attempt] = items - failing
        records = [{"mini_batch": m, "split": ITEMS * m + i, "item": i, "row": None} for m, i in sorted(failing)]
        name = None
        if records:
            name = f"errors/{attempt}.jsonl"
            self.folder.storage.put(self.folder.path(name), "".join(json.dumps(r) + "\n" for r in records).encode())
        counts = {"items": len(items), "succeeded": len(items - failing), "failed": len(failing)}
        outcome = {"counts": counts | {"failed_files": len(failing)}, "errors": name, "instance": attempt}
        host.board.scored(entry_of(work, outcome, host.run, host.board.failed.within(work.chunk)), 0.1)

    def _commit(self, host):
        entries = list(host.board.uncommitted)
        host.ledger.append(entries)
        host.board.committed(entries)

    def _decide(self, host, outcome):
        if self.folder.decision(host.run) is None:
            standing = decide(self.folder, host.run, host.epoch, outcome, None, MINI_BATCHES)
            replaced = latest_adoption(self.folder) > host.epoch
            assert (standing is None) == replaced, "a host that was replaced decides nothing"
            assert (self.folder.decision(host.run) is None) == replaced

    def finish(self):
        """A last host brings the job to its end, in one more run if need be, and it is whole."""
        if self._standing() not in (None, "Completed"):
            open_run(self.folder, self.folder.runs()[-1] + 1, "client")
        host = Host(self.folder, self.epoch + 1, self.plan)
        if self.folder.decision(host.run) is None:
            while host.board.backlog:
                self._score(host, set(), 1)
            if host.board.uncommitted:
                self._commit(host)
            assert host.board.done
            assert host.board.counts.items == len(EVERYTHING)
            decide(self.folder, host.run, host.epoch, "Completed", None, MINI_BATCHES)
        self.each_decision_stands_and_is_whole()


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
