"""Jobs on a real SLURM: from nothing to nothing, what is lost is replaced, what is refused is told."""

from __future__ import annotations

import pytest

from dask_batch.errors import JobFailed


@pytest.mark.parametrize("host", ["job", "here"])
def test_a_job_scales_from_nothing_and_leaves_nothing(ground, slurm, eventually, host):
    ground.compute(cores=2, max_instances=2, host=host)
    job = ground.invoke(*[0.3] * 20, instance_count=2)
    eventually(lambda: len(ground.queued(slurm)) == 2, "two instances")
    assert ground.scored(job) == ground.names(20)
    assert job.status.core_seconds > job.status.instance_seconds > 0
    eventually(lambda: not slurm.queue(), "the queue is empty once all has idled out", 60)
    eventually(lambda: ground.ws.compute.host("hpc").state == "absent", "the host is gone")


@pytest.mark.parametrize("host", ["job", "here"])
def test_a_wrong_partition_fails_the_job_in_the_words_of_slurm(ground, host):
    ground.compute(partition="nowhere", host=host)
    job = ground.invoke(0)
    with pytest.raises(JobFailed, match=r"(?i)invalid partition"):
        job.wait(60, show=False)
    ground.compute(host=host)
    assert ground.scored(job.resume()) == ground.names(1), "the compute is mended, and the job goes on"
    assert ground.scored(ground.invoke(0)) == ground.names(1)


def test_a_walltime_beyond_the_partition_fails_the_job_rather_than_wait_for_ever(ground):
    ground.compute(partition="short", host="here")
    with pytest.raises(JobFailed, match="time limit is invalid"):
        ground.invoke(0).wait(90, show=False)


def test_a_host_that_is_refused_says_which_keys_are_its_own(ground):
    ground.compute(host_partition="nowhere")
    with pytest.raises(JobFailed, match=r"(?i)invalid partition.*host_partition"):
        ground.invoke(0).wait(60, show=False)


def test_an_instance_that_cannot_begin_says_why(ground):
    ground.compute(host="here", job_script_prologue=["echo the module is not there", "exit 7"])
    with pytest.raises(JobFailed, match=r"(?s)ended before they began.*the module is not there"):
        ground.invoke(0).wait(90, show=False)


def test_a_python_that_is_not_there_is_told(ground):
    ground.compute(host="here", python="/nowhere/bin/python")
    with pytest.raises(JobFailed, match=r"(?s)/nowhere/bin/python.*No such file|not found"):
        ground.invoke(0).wait(90, show=False)


def test_a_running_instance_that_is_killed_is_replaced(ground, slurm, eventually):
    ground.compute(host="here")
    job = ground.invoke(*[0.5] * 30)
    eventually(lambda: len(ground.calls("done")) > 2, "some files are scored", 60)
    (lost,) = ground.running(slurm)
    slurm.run("scancel", "--signal=KILL", "--full", lost.id)
    eventually(lambda: {one.id for one in ground.queued(slurm)} - {lost.id}, "another instance")
    assert ground.scored(job) == ground.names(30)
    assert len(ground.calls()) <= 30 + ground.again(0.5)


def test_a_pending_instance_that_is_canceled_is_replaced_and_why_it_waits_is_told(ground, slurm, eventually):
    blocker = slurm.submit("sleep 3600", "-N4", "--exclusive")
    eventually(lambda: slurm.state(blocker) == "RUNNING", "all nodes are taken")
    ground.compute(host="here")
    job = ground.invoke(0, 0)
    eventually(lambda: job.status.instances_pending == 1 and "Resources" in job.status.why, "why it waits")
    (pending,) = ground.queued(slurm)
    slurm.run("scancel", pending.id)
    eventually(lambda: {one.id for one in ground.queued(slurm)} - {pending.id}, "another instance")
    slurm.cancel(blocker)
    assert ground.scored(job) == ground.names(2)


def test_gpus_are_asked_for_and_each_slot_has_one(ground, slurm):
    ground.compute(host="here", cores=2, gpus=2)
    assert ground.scored(ground.invoke(*[0.5] * 12)) == ground.names(12)
    seen = {line.partition(" ")[2] for line in (ground.folder / "calls").read_text().splitlines()}
    assert seen == {"0", "1", "done"}


def test_a_deleted_compute_leaves_no_slurm_job(ground, slurm, eventually):
    ground.compute(min_instances=1)
    job = ground.invoke(*[30.0] * 5)
    eventually(lambda: ground.running(slurm), "an instance runs", 60)
    job.cancel()
    ground.ws.compute.delete("hpc")
    eventually(lambda: not slurm.queue(), "nothing is left")


def test_a_host_that_is_still_to_come_goes_with_the_last_job_that_needs_it(ground, slurm, eventually):
    blocker = slurm.submit("sleep 3600", "-N4", "--exclusive")
    eventually(lambda: slurm.state(blocker) == "RUNNING", "all nodes are taken")
    ground.compute()
    first, second = ground.invoke(0), ground.invoke(0)
    eventually(lambda: "Resources" in first.status.why, "why it waits")
    first.cancel()
    assert ground.queued(slurm, hosts=True), "the second job still needs it"
    second.cancel()
    eventually(lambda: not ground.queued(slurm, hosts=True), "the host's job is gone")
    slurm.cancel(blocker)
