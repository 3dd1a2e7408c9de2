"""Instances that do not find their host, and hosts of SLURM jobs that come back. No cluster is needed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import dask
import pytest
from distributed import Client, Scheduler, fire_and_forget

from dask_batch.compute.slurm.meeting import Meeting
from dask_batch.compute.slurm.script import ENDS
from dask_batch.host.succession import end_patience_s, next_epoch_of_job
from dask_batch.hostfolder import HostFolder
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.storage import Storage


def instance(folder):
    command = [sys.executable, "-m", "dask_batch.compute.instance", str(folder), "--name", "one", "--nthreads", "1"]
    return subprocess.run([*command, "--death-timeout", "3"], capture_output=True, text=True, timeout=100)


def test_an_instance_whose_host_is_gone_says_so(tmp_path):
    done = instance(tmp_path / "e1")
    assert done.returncode == 1
    assert "the host of this instance is gone, or" in done.stderr and "Traceback" not in done.stderr


def test_an_instance_that_cannot_reach_its_host_names_the_way_out(tmp_path):
    meeting = Meeting(str(tmp_path / "e1"))
    meeting.prepare()
    meeting.announce("tls://127.0.0.1:1", str(tmp_path / "workspace"))
    done = instance(tmp_path / "e1")
    assert done.returncode == 1
    assert "the host at tls://127.0.0.1:1 cannot be reached from" in done.stderr
    assert "name the network interface between them" in done.stderr


def test_an_instance_leaves_by_itself_when_its_time_would_not_do_for_another_chunk(tmp_path):
    meeting, diary = Meeting(str(tmp_path / "e1")), tmp_path / "diary"
    chunk = ["sh", "-c", f"echo began >> {diary}; sleep 3; echo done >> {diary}"]

    async def work() -> str:
        security = meeting.prepare()
        async with Scheduler(protocol="tls://", security=security, port=0, dashboard_address=":0") as scheduler:
            meeting.announce(scheduler.address, str(tmp_path / "workspace"))
            command = [sys.executable, "-m", "dask_batch.compute.instance", meeting.folder, "--name", "one"]
            # It ends in 25 s, and such a chunk has to begin 13.6 s before that.
            instance = await asyncio.create_subprocess_exec(
                *command, "--nthreads", "1", stderr=subprocess.PIPE, env=os.environ | {ENDS: str(time.time() + 25)}
            )
            async with Client(scheduler.address, security=security, asynchronous=True) as client:
                for _ in range(20):
                    fire_and_forget(client.submit(subprocess.run, chunk, pure=False))
                _, said = await asyncio.wait_for(instance.communicate(), 60)
        assert instance.returncode == 0
        return said.decode()

    with dask.config.set({"temporary-directory": str(tmp_path)}):
        said = asyncio.run(work())
    assert "would not do for another chunk" in said
    lines = diary.read_text().split()
    assert lines.count("began") == lines.count("done") < 8


def test_certificates_are_for_one_epoch_and_for_their_owner_alone(tmp_path):
    first, second = Meeting(str(tmp_path / "e1")), Meeting(str(tmp_path / "e2"))
    first.prepare()
    second.prepare()
    assert (tmp_path / "e1/key.pem").read_text() != (tmp_path / "e2/key.pem").read_text()
    assert first.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in first.folder.iterdir()} == {0o600}
    first.leave()
    assert not list(first.folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return HostFolder(Storage(str(tmp_path)), "hpc", "ada")


def test_a_job_that_is_requeued_becomes_the_next_epoch(folder):
    record = {"slurm": {"job": "7", "user": "ada"}}
    folder.begin_epoch(3, record)
    assert next_epoch_of_job(folder, record) == 4
    assert next_epoch_of_job(folder, record) == 5


def test_a_job_that_is_requeued_after_another_host_has_begun_is_not_needed(folder):
    folder.begin_epoch(3, {"slurm": {"job": "7", "user": "ada"}})
    folder.begin_epoch(4, {"slurm": {"job": "8", "user": "ada"}})
    assert next_epoch_of_job(folder, {"slurm": {"job": "7", "user": "ada"}}) == 0


def test_a_host_ends_in_order_before_its_walltime():
    assert end_patience_s(SlurmCompute(name="hpc")) == 75
    assert end_patience_s(SlurmCompute(name="hpc", host_walltime="00:02:00")) == 5
