"""A host that dies at any file operation: the next one brings the job to the same end."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import stat
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from dask_batch.host.coordinator import Coordinator
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.inline import Here
from dask_batch.host.reporter import Capacity
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.runs import open_run
from dask_batch.jobfolder.status import read_status
from dask_batch.outputs.records import read_errors
from dask_batch.slots.pool import Slots
from dask_batch.specs.job import OutputTarget

SCRIPT = """
import os

def init(): pass

def run(mini_batch):
    done = []
    for path in mini_batch:
        text = open(path).read()
        mended = os.path.exists(os.path.join(os.path.dirname(path), os.pardir, "mended"))
        if text == "3" and not mended:
            raise ValueError("bad")
        name = os.path.basename(path)
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name + ".out"), "w") as left:
            left.write(text)
        done.append(int(text) * 10)
    return done
"""


class PowerLoss(BaseException):
    """Everything stops. No ``except Exception`` goes on after it."""


class Power:
    """Counts file operations of hosts, and fails at one of them and at all that follow.

    What was written and never synchronised is lost: the file is empty then, as after a loss of power.
    """

    def __init__(self, lasts: float) -> None:
        self.used, self.lasts = 0, lasts
        self._lock = threading.Lock()

    def use(self, path: object) -> None:
        """Do one operation on a path or descriptor, or fail."""
        # Logs are the business of scoring processes; they are under fire elsewhere.
        if threading.current_thread().name.startswith("slots-") or "/logs/" in str(path):
            return
        with self._lock:
            self.used += 1
            lost = self.used > self.lasts
        if lost:
            if isinstance(path, int) and stat.S_ISREG(os.fstat(path).st_mode):
                os.ftruncate(path, 0)
            raise PowerLoss(f"operation {self.used}, on {path}")

    @contextmanager
    def supplying(self):
        """Count and fail while the block runs."""
        with pytest.MonkeyPatch.context() as patch:
            for module, name, which in (
                (os, "link", 1),
                (os, "replace", 1),
                (os, "unlink", 0),
                (os, "fsync", 0),
                (os, "makedirs", 0),
                (shutil, "rmtree", 0),
            ):
                patch.setattr(module, name, self._wrapped(getattr(module, name), which))
            yield

    def _wrapped(self, operation, which):
        def wrapper(*arguments, **keywords):
            self.use(arguments[which])
            return operation(*arguments, **keywords)

        return wrapper


@pytest.fixture
def stage(script_job):
    """Return a function that makes a job of six files, and one that lets a host of some epoch run it."""
    first = script_job(SCRIPT, 6, mini_batch_size=2)
    storage = first.folder.storage
    with Slots(storage, 1, name="here") as slots:

        def make(name, **output):
            folder = JobFolder(storage, name)
            target = OutputTarget(url=output.pop("url", folder.url("outputs", "score")), file_name="p.csv", **output)
            definition = first.definition.replace(name=name, output=target)
            folder.create(definition.to_stored())
            open_run(folder, 1, "tester")
            return folder, definition

        def host(folder, definition, epoch, power):
            dispatcher = Dispatcher(Here(slots))
            dispatcher.resize(1)

            async def live():
                capacity = Capacity(instances=1)
                await Coordinator(folder, epoch, definition, Here(slots), dispatcher, capacity).run()

            with power.supplying():
                try:
                    asyncio.run(live())
                except PowerLoss:
                    return False
            return True

        yield make, host


def left(folder, definition):
    """Return what a job left, for comparing; and make sure that nothing unfinished is in the output place."""
    place = Path(definition.output.url)
    files = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert {"_SUCCESS", "_owner.json"} <= set(files)
    assert not [name for name in files if name.startswith(".")]
    decision = folder.decision(folder.runs()[-1])
    errors = [(error.file, error.message) for error in read_errors(folder, entries(decision)).itertuples()]
    del files["_SUCCESS"], files["_owner.json"]
    return files, errors, decision["counts"]


def entries(decision):
    from dask_batch.jobfolder.ledger import Entry

    return [Entry.from_json(record) for record in decision["entries"]]


def crash_everywhere(prepare, host, expected):
    """Let a host die at each operation in turn and the next one finish; return how many operations there are."""
    for lasts in itertools.count():
        folder, definition = prepare(f"crash-{lasts}")
        power = Power(lasts)
        survived = host(folder, definition, 2, power)
        assert survived or host(folder, definition, 3, Power(float("inf"))), "the next host ends"
        assert read_status(folder).state == "Completed"
        assert left(folder, definition) == expected, f"power was lost at operation {lasts + 1}"
        if survived and power.used <= lasts:
            return lasts
    raise AssertionError


def test_a_host_may_die_at_any_file_operation(stage):
    make, host = stage
    undisturbed = make("undisturbed")
    assert host(*undisturbed, 1, Power(float("inf")))
    expected = left(*undisturbed)
    assert expected[0]["p.csv"].decode().count("\n") == 6
    assert len(expected[1]) == 1
    assert crash_everywhere(make, host, expected) > 30


def test_a_host_may_die_anywhere_while_failed_items_are_scored_again(stage, tmp_path):
    make, host = stage
    (tmp_path / "mended").touch()
    undisturbed = make("undisturbed")
    assert host(*undisturbed, 1, Power(float("inf")))
    expected = left(*undisturbed)
    assert expected[1] == []

    def prepare(name):
        folder, definition = make(name)
        (tmp_path / "mended").unlink()
        assert host(folder, definition, 1, Power(float("inf")))
        (tmp_path / "mended").touch()
        assert folder.decision(1)["counts"]["failed"] == 1
        open_run(folder, 2, "tester", retry="failed")
        return folder, definition

    assert crash_everywhere(prepare, host, expected) > 30


def test_a_host_may_die_anywhere_while_it_replaces_older_outputs(stage, tmp_path):
    make, host = stage
    undisturbed = make("undisturbed")
    assert host(*undisturbed, 1, Power(float("inf")))
    expected = left(*undisturbed)

    def prepare(name):
        place = tmp_path / "places" / name
        older = make(f"older-{name}", url=str(place))
        assert host(*older, 1, Power(float("inf")))
        os.rename(place / "f00000.txt.out", place / "gone.out")
        record = (place / "_SUCCESS").read_text()
        (place / "_SUCCESS").write_text(record.replace("f00000.txt.out", "gone.out"))
        (place / "_owner.json").write_text('{"format": 1, "job": "' + name + '"}')
        return make(name, url=str(place), overwrite=True)

    assert crash_everywhere(prepare, host, expected) > 30
