"""What clusters do to jobs: preemption, nodes that crash, a controller that goes; and strangers on the network."""

from __future__ import annotations

import asyncio
import json
import os
import re

import pytest
from distributed import Client, Security
from distributed.comm import connect

from dask_batch.errors import HostFailed


def host_of(ground):
    """Return what the host announced to its instances, and the folder of that."""
    (folder,) = (ground.folder / "workspace" / "hosts" / "hpc" / "tester" / "slurm").glob("e1")
    return json.loads((folder / "host.json").read_text()), folder


def test_losing_every_instance_to_preemption_costs_the_chunks_in_flight(ground, slurm, eventually):
    ground.compute(tier="low_priority", low_priority_partition="low", max_instances=2)
    job = ground.invoke(*[1.0] * 16, instance_count=2)
    eventually(lambda: len(ground.running(slurm)) == 2 and len(ground.calls("done")) > 2, "two instances work", 60)
    # The host's own job is on the nodes too, and is not preempted: its partition is another one.
    lost = {one.id for one in ground.running(slurm)}
    urgent = slurm.submit("sleep 3600", "-p", "high", "-N4", "--ntasks-per-node=3", "-J", "urgent")
    eventually(lambda: not {one.id for one in ground.queued(slurm)} & lost, "both are preempted", 60)
    eventually(lambda: ground.queued(slurm), "others are asked for")
    slurm.cancel(urgent)
    assert ground.scored(job) == ground.names(16)
    assert len(ground.calls()) <= 16 + ground.again(1.0, slots=2)


def test_a_node_that_crashes_costs_the_chunks_in_flight(ground, slurm, eventually):
    ground.compute(host="here", job_extra_directives=["-w n3"])
    job = ground.invoke(*[0.5] * 20)
    eventually(lambda: len(ground.calls("done")) > 2, "some files are scored", 60)
    (lost,) = ground.running(slurm)
    slurm.down_node(3)
    eventually(lambda: {one.id for one in ground.queued(slurm)} - {lost.id}, "another instance", 60)
    slurm.up_node(3)
    assert ground.scored(job) == ground.names(20)
    assert len(ground.calls()) <= 20 + ground.again(0.5)


def test_a_controller_that_goes_is_told_and_missed_by_nobody_who_works(ground, slurm, eventually):
    ground.compute(host="here", max_instances=2)
    job = ground.invoke(*[1.0] * 20)
    eventually(lambda: len(ground.calls()) > 1, "an instance works", 60)
    slurm.controller_down()
    done = len(ground.calls("done"))
    eventually(lambda: len(ground.calls("done")) > done + 2, "it goes on", 60)
    more = ground.invoke(*[0.0] * 3, instance_count=2)
    eventually(
        lambda: re.search("Unable to contact|does not answer", more.status.why + job.status.why), "it is told", 60
    )
    slurm.controller_up()
    assert ground.scored(job) == ground.names(20)
    assert ground.scored(more) == ground.names(3)


def test_a_host_that_cannot_be_submitted_now_is_submitted_later(ground, slurm, eventually):
    ground.compute()
    slurm.controller_down()
    job = ground.invoke(0.0)
    assert "Unable to contact" in job.status.why
    slurm.controller_up()
    assert ground.scored(job) == ground.names(1)


def test_a_host_that_cannot_start_is_said_and_the_job_goes_on_once_the_compute_is_corrected(ground, slurm, eventually):
    ground.compute(python=str(ground.folder / "nowhere"))
    job = ground.invoke(0.0)
    with pytest.raises(HostFailed, match=r"nowhere.*No such file or directory"):
        job.wait(100, show=False)
    # Whoever looks is told, and sets nothing off that would end the same way.
    looked = ground.ws.jobs.get(job.name).status
    assert looked == "Interrupted" and "No such file or directory" in looked.why
    assert not ground.queued(slurm, hosts=True)
    assert "will be listed and scored" in str(job.resume(explain=True))
    ground.compute()
    assert ground.scored(job.resume()) == ground.names(1)


def test_a_machine_without_slurm_says_so_and_leaves_the_job_to_others(ground, monkeypatch, tmp_path):
    ground.compute()
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    job = ground.invoke(0.0)
    for _ in range(3):
        assert job.status in ("Queued", "Interrupted") and "no `sbatch` on the PATH" in job.status.why
    with pytest.raises(HostFailed, match="cannot be started from here: there is no `sbatch` on the PATH"):
        job.wait(60, show=False)
    monkeypatch.setenv("PATH", path)
    assert ground.scored(job) == ground.names(1)


def test_a_stranger_on_the_network_is_refused(ground, slurm, eventually):
    ground.compute(host="here")
    job = ground.invoke(*[3.0] * 4)
    eventually(lambda: ground.running(slurm), "an instance runs", 60)
    host, folder = host_of(ground)
    assert host["address"].startswith("tls://")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.pem")} == {0o600}
    plain = host["address"].replace("tls://", "tcp://")

    async def try_both():
        with pytest.raises(OSError):
            await connect(plain, timeout=3)
        async with asyncio.timeout(20):
            with pytest.raises(OSError):
                await Client(host["address"], security=Security.temporary(), asynchronous=True, timeout=3)

    asyncio.run(try_both())
    assert ground.scored(job) == ground.names(4)
