"""Slots when something goes wrong around user code: nothing leaks, nobody is blamed for what another did."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial

import psutil
import pytest
from slots_job import children, make_loadable, task

from dask_batch.errors import StorageError
from dask_batch.slots.joblogs import JobLogs
from dask_batch.slots.pool import Slots
from dask_batch.storage import Storage

HUNGRY = """
def init(): pass
def run(mini_batch):
    {how}
    return list(mini_batch)
"""
TAKE = "block = bytearray(400 << 20); import time; time.sleep(60)"


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "workspace"))


@pytest.fixture
def loadable(storage, tmp_path):
    return partial(make_loadable, storage, tmp_path / "code")


def test_closing_lets_scripts_shut_down(storage, loadable, tmp_path):
    mark = tmp_path / "shut-down"
    script = f"def init(): pass\ndef run(files): return files\ndef shutdown(): open({str(mark)!r}, 'w').close()\n"
    with Slots(storage, 2, name="i") as slots:
        assert slots.score(task(loadable(script), tmp_path))["result"] == "scored"
    assert mark.exists() and not children()


def test_memory_is_watched_while_a_deployment_loads(storage, loadable, tmp_path):
    with Slots(storage, 1, name="i", memory_bytes=300 << 20) as slots:
        outcome = slots.score(task(loadable(f"def init():\n    {TAKE}\ndef run(files): return files\n"), tmp_path))
        assert outcome["result"] == "load_failed" and "slot's share of 270 MiB" in outcome["error"]["message"]
        assert not children()


def test_memory_of_processes_that_user_code_starts_counts(storage, loadable, tmp_path):
    how = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TAKE!r}])"
    with Slots(storage, 1, name="i", memory_bytes=300 << 20) as slots:
        outcome = slots.score(task(loadable(HUNGRY.format(how=how)), tmp_path))
    assert (outcome["result"], outcome["cause"]) == ("died", "memory")
    assert "processes that it started included" in outcome["message"]


def test_forks_that_share_their_memory_are_not_taken_for_hungry(storage, loadable, tmp_path):
    how = """
    import os, time
    block = bytearray(150 << 20)
    pids = [os.fork() for _ in range(1)]
    if 0 in pids:
        time.sleep(2)
        os._exit(0)
    os.waitpid(pids[0], 0)"""
    with Slots(storage, 1, name="i", memory_bytes=350 << 20) as slots:
        assert slots.score(task(loadable(HUNGRY.format(how=how.strip())), tmp_path))["result"] == "scored"


def test_processes_in_sessions_of_their_own_end_with_the_one_that_started_them(storage, loadable, tmp_path, eventually):
    noted = tmp_path / "pid"
    how = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '600'], start_new_session=True); "
        f"open({str(noted)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    with Slots(storage, 1, name="i") as slots:
        outcome = slots.score(task(loadable(HUNGRY.format(how=how), timeout=1), tmp_path))
    assert outcome["cause"] == "timeout"
    pid = int(noted.read_text())
    eventually(lambda: not psutil.pid_exists(pid), "the process that it started is gone", 10)


def test_a_model_that_cannot_be_fetched_costs_no_slot(tmp_path, loadable):
    class Gone(Storage):
        def url(self, name):
            if name.startswith("assets/"):
                raise StorageError("the assets are gone")
            return super().url(name)

    with Slots(Gone(str(tmp_path / "workspace")), 1, name="i") as slots:
        for _ in range(2):
            outcome = slots.score(task(loadable(), tmp_path))
            assert outcome["result"] == "load_failed" and "the assets are gone" in outcome["error"]["message"]
        assert not children()


def test_an_idle_process_that_died_is_not_held_against_the_next_chunk(storage, loadable, tmp_path, eventually):
    with Slots(storage, 1, name="i") as slots:
        first = slots.score(task(loadable(), tmp_path))
        os.kill(first["pid"], signal.SIGKILL)
        # Its main thread is a zombie a little before all of it is dead, which is when its parent can know.
        eventually(lambda: os.waitid(os.P_PID, first["pid"], os.WEXITED | os.WNOHANG | os.WNOWAIT), "it is dead")
        second = slots.score(task(loadable(), tmp_path))
        assert second["result"] == "scored" and second["pid"] != first["pid"]


def test_a_log_that_cannot_be_copied_is_copied_later(tmp_path):
    class Unsteady(Storage):
        broken = True

        def put(self, name, content):
            if self.broken:
                raise RuntimeError("no OSError: clients of object stores have errors of their own")
            self.root_put(name, content)

        def root_put(self, name, content):
            Storage(self.root).put(name, content)

    storage = Unsteady(str(tmp_path / "workspace"))
    storage.is_local = False
    logs = JobLogs(storage, tmp_path / "local", "i")
    logs.path("job", 7).write_text("said\n")
    logs.publish()
    storage.broken = False
    logs.publish(all_now=True)
    assert (tmp_path / "workspace/jobs/job/logs/i-7.log").read_text() == "said\n"


def test_the_folder_of_an_instance_that_was_killed_goes_also_before_anybody_took_note_of_its_death(
    storage, tmp_path, monkeypatch, eventually
):
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(tmp_path / "scratch"))
    with subprocess.Popen(["sleep", "600"]) as killed:
        left = tmp_path / "scratch" / "processes" / f"{killed.pid}-abc"
        alive = tmp_path / "scratch" / "processes" / f"{os.getpid()}-abc"
        left.mkdir(parents=True)
        alive.mkdir()
        killed.kill()
        eventually(
            lambda: psutil.Process(killed.pid).status() == psutil.STATUS_ZOMBIE, "it is dead, and not waited for"
        )
        with Slots(storage, 1, name="i"):
            assert not left.exists()
            assert alive.exists()
