"""Ends that are announced: SLURM's warning, the walltime of instances and hosts, requeued hosts. No chunk is lost."""

from __future__ import annotations


def test_an_instance_that_is_warned_ends_its_chunk_and_is_replaced(ground, slurm, eventually):
    ground.compute(host="here")
    job = ground.invoke(*[2.0] * 6)
    eventually(lambda: len(ground.calls()) == 2, "the second file is being scored", 60)
    (warned,) = ground.running(slurm)
    slurm.run("scancel", "--signal=TERM", "--batch", warned.id)
    eventually(lambda: not slurm.state(warned.id), "it leaves by itself")
    assert ground.scored(job) == ground.names(6)
    assert sorted(ground.calls()) == ground.names(6), "nothing was scored twice"


def test_a_preempted_instance_works_as_long_as_it_has_grace_and_then_ends_its_chunk(ground, slurm, eventually):
    graceful = "PartitionName=graceful Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=5"
    with slurm.configured(graceful):
        ground.compute(host="here", tier="low_priority", low_priority_partition="graceful")
        job = ground.invoke(*[1.0] * 16)
        eventually(lambda: len(ground.calls()) > 1, "an instance works", 60)
        lost = {one.id for one in ground.running(slurm)}
        slurm.cancel(slurm.preempt())
        assert lost and not lost & {one.id for one in slurm.queue()}
        assert ground.scored(job) == ground.names(16)
        assert sorted(ground.calls()) == ground.names(16), "nothing was scored twice"
        ground.ws.compute.stop("hpc")  # nothing may be left in a partition that goes


def test_no_chunk_is_lost_to_the_walltime_however_long_it_takes(ground, slurm):
    ground.compute(host="here", partition="short", walltime="00:01:00")
    # What is left when the last files are reached would not do for one of them.
    job = ground.invoke(*[2.0] * 16, *[14.0] * 3)
    assert ground.scored(job) == ground.names(19)
    assert sorted(ground.calls()) == ground.names(19), "nothing was scored twice"


def test_a_host_whose_time_is_up_has_a_successor(ground, slurm, eventually):
    ground.compute()
    job = ground.invoke(*[1.0] * 15)
    eventually(lambda: len(ground.calls()) > 3, "some files are scored", 60)
    (host,) = ground.queued(slurm, hosts=True)
    slurm.run("scancel", "--signal=USR1", "--batch", host.id)
    eventually(lambda: {one.id for one in ground.queued(slurm, hosts=True)} - {host.id}, "the next host", 60)
    assert ground.scored(job) == ground.names(15)
    assert sorted(ground.calls()) == ground.names(15), "nothing was scored twice"


def test_a_host_that_is_requeued_goes_on(ground, slurm, eventually):
    ground.compute()
    job = ground.invoke(*[0.5] * 40)
    eventually(lambda: len(ground.calls()) > 3, "some files are scored", 60)
    (host,) = ground.queued(slurm, hosts=True)
    slurm.run("scontrol", "requeue", host.id)
    eventually(lambda: slurm.state(host.id) == "PENDING", "it is requeued")
    assert job.status in ("Running", "Queued") or "pending" in job.status.why
    slurm.hurry(host.id)
    assert ground.scored(job) == ground.names(40)
    assert ground.ws.compute.host("hpc").epoch == 2


def test_what_a_killed_host_leaves_goes(ground, slurm, eventually):
    ground.compute(max_instances=2)
    job = ground.invoke(*[1.0] * 20, instance_count=2)
    eventually(lambda: len(ground.calls()) > 3, "some files are scored", 60)
    (host,) = ground.queued(slurm, hosts=True)
    slurm.run("scancel", "--signal=KILL", "--full", host.id)
    assert ground.scored(job) == ground.names(20)
    eventually(lambda: not slurm.queue(), "nothing is left", 60)
