"""Hosts are started when they are wanted, once, and a host that cannot start is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from dask_batch import LocalCompute
from dask_batch.errors import HostFailed, JobCanceled, Refused
from dask_batch.hostfolder import HostFolder, ProcessId
from dask_batch.jobfolder.folder import now
from dask_batch.jobs.launch import ensure_host, look
from dask_batch.storage import Storage


@pytest.fixture
def folder(tmp_path):
    return HostFolder(Storage(str(tmp_path)), "local", "tester")


@pytest.fixture
def process():
    """A process that lives until it is told otherwise."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield started
    started.kill()
    started.wait()


def test_a_host_lives_while_it_beats_and_its_process_does(folder, process):
    assert look(folder).state == "absent"
    record = {"process": ProcessId.of(process.pid).to_json(), "at": now()}
    folder.begin_epoch(1, record)
    assert look(folder).state == "running"
    folder.beat(1, "running", process=record["process"])
    assert look(folder).state == "running"
    folder.beat(1, "stopping", process=record["process"])
    assert look(folder).state == "absent"
    folder.beat(1, "running", process=record["process"])
    process.kill()
    process.wait()
    assert look(folder).state == "absent"


def test_a_host_on_another_machine_is_judged_by_the_age_of_its_heartbeat(folder):
    elsewhere = {"machine": "elsewhere", "pid": 1, "started": 0.0}
    folder.begin_epoch(1, {"process": elsewhere, "at": now()})
    folder.beat(1, "running", process=elsewhere)
    assert look(folder).state == "running"
    beat = folder.storage.url(folder.path("e1-heartbeat.json"))
    os.utime(beat, (os.stat(beat).st_mtime - 21,) * 2)
    assert look(folder).state == "absent"


def test_a_host_removes_what_long_dead_processes_left_and_nothing_of_those_at_work(folder):
    folder.begin_epoch(1, {"at": now()})
    left = ["clock-dead", ".tmp-dead", "inbox/.tmp-dead"]
    for name in [*left, "clock-young", ".tmp-young", "inbox/.tmp-young", "inbox/job", "host-1-1.log"]:
        folder.storage.put(folder.path(name), b"")
    for name in [*left, "inbox/job", "host-1-1.log"]:
        path = folder.storage.url(folder.path(name))
        os.utime(path, (os.stat(path).st_mtime - 7200,) * 2)
    folder.forget_before(1)
    place = folder.storage.url(folder.name)
    assert sorted(os.listdir(place)) == [".tmp-young", "clock-young", "e1.json", "host-1-1.log", "inbox"]
    assert sorted(os.listdir(os.path.join(place, "inbox"))) == [".tmp-young", "job"]


def test_a_launch_is_pending_while_its_process_or_its_launcher_lives(folder, process):
    me, other = ProcessId.of().to_json(), ProcessId.of(process.pid).to_json()
    folder.begin_launch(1, 1, {"by": me, "at": now()})
    assert look(folder).state == "launching"
    folder.note_launch(1, 1, {"by": me, "at": now(), "process": other})
    assert look(folder).state == "launching"
    assert ensure_host(folder.storage, LocalCompute(name="local"), "tester").attempts == 1
    process.kill()
    process.wait()
    assert look(folder) == type(look(folder))("absent", 0, 1)


def test_a_host_that_ends_at_once_is_reported_with_the_end_of_its_log(ws, scripted, files, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import os, sys\nsys.stderr.write('no luck today\\n')\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    job = scripted.invoke(files)
    with pytest.raises(HostFailed, match="no luck today"):
        job.wait(60)
    assert job.status == "Interrupted" and "last start failed" in job.status.why
    # Nobody is there to cancel it, so the one who asks decides.
    job.cancel()
    with pytest.raises(JobCanceled, match="canceled by tester"):
        job.wait()
    with pytest.raises(Refused, match="too late"):
        job.cancel()
    assert not os.path.exists(os.path.join(job.outputs["score"], "_owner.json"))
    monkeypatch.delenv("PYTHONPATH")
    assert scripted.invoke(files).wait(60).status == "Completed"


def test_whoever_waits_again_after_mending_the_cause_gets_a_host(ws, scripted, files, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = scripted.invoke(files)
    with pytest.raises(HostFailed):
        job.wait(60)
    monkeypatch.delenv("PYTHONPATH")
    assert job.wait(60).status == "Completed"


def test_waiting_for_a_job_leaves_it_alone_when_it_is_interrupted(ws, scripted, files, tmp_path, eventually):
    program = (
        "import sys, dask_batch\n"
        "ws = dask_batch.Workspace(sys.argv[1])\n"
        "job = ws.endpoints['counter'].invoke(sys.argv[2], params={'sleep': 1.0}, mini_batch_size=3)\n"
        "print(job.name, flush=True)\n"
        "job.wait()\n"
    )
    command = [sys.executable, "-c", program, ws.storage.root, str(files)]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    name = waiting.stdout.readline().strip()
    eventually(lambda: ws.jobs[name].peek() == "Running", "the job runs", 60)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=30)
    assert f"ws.jobs['{name}'].wait()" in said and "KeyboardInterrupt" in said
    assert ws.jobs[name].wait(60).status == "Completed"


def test_of_hosts_that_are_long_gone_a_few_records_and_their_last_logs_are_kept(folder):
    for epoch in range(1, 61):
        folder.begin_epoch(epoch, {})
        folder.storage.put(folder.path(f"host-{epoch}-1.log"), b"said")
    folder.forget_before(60)
    kept = folder.storage.list(folder.name)
    assert sorted(name for name in kept if name.endswith(".json")) == ["e57.json", "e58.json", "e59.json", "e60.json"]
    assert sum(name.endswith(".log") for name in kept) == 51
    assert "host-9-1.log" not in kept
    assert "host-10-1.log" in kept
