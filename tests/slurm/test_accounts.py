"""What the queue and the scheduler say of instances, put together; names, waits and scripts. Nothing is started."""

from __future__ import annotations

import pytest

from dask_batch.compute.instance import memory_given
from dask_batch.compute.slurm.accounts import Account, Asked, dead_end, told
from dask_batch.compute.slurm.backoff import Backoff
from dask_batch.compute.slurm.names import Family
from dask_batch.compute.slurm.queue import QueuedJob
from dask_batch.compute.slurm.script import host_script, instance_script, warning_s
from dask_batch.specs.slurm import SlurmCompute


def queued(number, state="RUNNING", reason="", nodes="n1", start=None):
    return QueuedJob(number, f"job-{number}", state, reason, start, nodes, 4)


@pytest.fixture
def account():
    account = Account(cores=4)
    account.asked = {"a": Asked("a", 2, "1", at=10.0), "b": Asked("b", 2, "2", at=20.0)}
    return account


def states(account):
    return {one.id: one.state for one in account.instances()}


def test_an_instance_runs_once_it_is_connected(account):
    account.look({"1": queued("1"), "2": queued("2", "PENDING", "Priority", "")}, began=30.0)
    assert states(account) == {"a": "pending", "b": "pending"}
    assert account.connect({"a": False})
    assert not account.connect({"a": False})
    assert states(account) == {"a": "running", "b": "pending"}
    assert {one.id: one.cores for one in account.instances()} == {"a": 4, "b": 0}


def test_one_that_drains_or_was_connected_and_is_not_any_more_takes_no_chunk(account):
    account.connect({"a": False, "b": True})
    assert states(account) == {"a": "running", "b": "draining"}
    account.connect({"b": True})
    assert states(account) == {"a": "draining", "b": "draining"}


def test_a_queue_in_which_nothing_happens_is_nothing_new_though_expected_starts_move(account):
    assert account.look({"1": queued("1"), "2": queued("2", "PENDING", "Priority", "", 1e9)}, began=30.0)
    assert not account.look({"1": queued("1"), "2": queued("2", "PENDING", "Priority", "", 2e9)}, began=31.0)
    assert account.look({"1": queued("1"), "2": queued("2", "PENDING", "Resources", "", 2e9)}, began=32.0)
    assert account.look({"1": queued("1")}, began=33.0)


def test_what_was_submitted_after_the_queue_was_looked_at_is_not_lost(account):
    account.look({}, began=15.0)
    assert [one.name for one in account.take_lost(15.0)] == ["a"]
    assert states(account) == {"b": "pending"}


def test_what_is_still_connected_is_not_lost_when_it_leaves_the_queue(account):
    account.connect({"a": False})
    account.look({}, began=30.0)
    assert [one.name for one in account.take_lost(30.0)] == ["b"]
    account.connect({})
    account.look({}, began=31.0)
    assert [one.name for one in account.take_lost(31.0)] == ["a"]


def test_why_an_instance_is_pending_is_said_in_the_words_of_slurm(account):
    account.look({"1": queued("1", "PENDING", "Resources", "", 1e9), "2": queued("2")}, began=30.0)
    first, second = account.instances()
    assert "pending: Resources" in first.why and "expected to start at 2001-09-0" in first.why
    assert second.why == "instances are starting on their nodes"


def test_pending_for_a_reason_that_never_passes_is_a_failure():
    assert dead_end("hpc", [queued("1", "PENDING", "Priority", "")]) is None
    failure = dead_end("hpc", [queued("1", "PENDING", "PartitionTimeLimit", "")])
    assert failure is not None and "PartitionTimeLimit" in failure["message"]


def test_only_ends_from_outside_are_nobodys_mistake():
    assert told("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-25T12:00:00 DUE TO PREEMPTION ***")
    assert not told("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-25T12:00:00 DUE TO TIME LIMIT ***")
    assert not told("/bin/python: No module named dask_batch")


def test_a_job_name_tells_whose_it_is_and_of_which_epoch():
    family, other = Family("/ws", "ada", "hpc"), Family("/ws", "bob", "hpc")
    assert family.epoch_of(family.instance(12, 3)) == 12
    assert family.epoch_of(family.host(12)) is None and family.owns(family.host(12))
    assert not family.owns(other.instance(12, 3))
    assert not Family("/ws", "ada", "hp").owns(family.instance(1, 1))
    assert not family.owns(Family("/ws", "ada", "hpc-e1-2").instance(1, 1))


def test_waits_double_up_to_a_limit_and_end_with_a_success():
    backoff = Backoff(1.0, 3.0)
    waits = []
    for _ in range(4):
        backoff.failed(0.0, "no")
        waits.append(backoff.left(0.0))
    assert waits == [1.0, 2.0, 3.0, 3.0] and backoff.said == "no"
    backoff.succeeded()
    assert not backoff.waits(0.0) and backoff.said == ""


def test_slurm_warns_two_minutes_before_the_end_or_a_quarter_of_a_short_time():
    assert warning_s("01:00:00") == 120
    assert warning_s("00:01:00") == 15


@pytest.mark.parametrize(
    ("environment", "megabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "300"}, 300),
        ({"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "2"}, 200),
        ({"SLURM_MEM_PER_NODE": "0"}, 4096),
        ({"SLURM_CPUS_ON_NODE": "1"}, 1024),
        ({}, 4096),
    ],
)
def test_an_instance_has_the_memory_that_slurm_gave_it(environment, megabytes):
    assert memory_given(0, environment, 4096 << 20, 4) >> 20 == megabytes
    assert memory_given(5 << 20, environment, 4096 << 20, 4) >> 20 == 5


def test_the_script_of_an_instance_says_all_that_was_defined(monkeypatch, tmp_path):
    # What somebody else configured for dask-jobqueue is not in it, and nothing is written into their configuration.
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__QUEUE", "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DASK_BATCH_SCRATCH", "/shared/my cache")
    compute = SlurmCompute(
        name="hpc", partition="cpu", account="us", qos="normal", cores=8, memory="1.5GB", walltime="02:00:00",
        gpus="a100:2", constraint="skylake&ib", interface="ib0", local_directory="$TMPDIR", python="/opt/a env/bin/py",
        job_extra_directives=["--exclusive"], job_script_prologue=["module load cuda"],
    )  # fmt: skip
    lines = instance_script(compute, "/shared/a 100%/e1", "dask-batch-x-hpc-e1-7").splitlines()
    said = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert said == [
        "-J dask-batch-x-hpc-e1-7", "-p cpu", "-A us", "-n 1", "--cpus-per-task=8", "--mem=1536M", "-t 02:00:00",
        "--signal=B:TERM@120", "--no-requeue", '--output="/shared/a 100%%/e1/%x-%j.log"', "--qos=normal",
        '--constraint="skylake&ib"', "--gres=gpu:a100:2", "--exclusive",
    ]  # fmt: skip
    assert lines[0] == "#!/usr/bin/env bash"
    ends, environments, scratch, prologue, command = (line for line in lines[1:] if line and not line.startswith("#"))
    assert ends == "export DASK_BATCH_INSTANCE_ENDS=$(($(date +%s) + 7200))"
    assert environments == "export DASK_BATCH_ENVIRONMENTS='/shared/my cache/environments'"
    assert scratch == 'export DASK_BATCH_SCRATCH="$TMPDIR/dask-batch-$(id -u)"'
    assert prologue == "module load cuda"
    assert command.startswith("exec '/opt/a env/bin/py' -m dask_batch.compute.instance '/shared/a 100%/e1' --name ")
    assert "--nthreads 2" in command and command.endswith("--interface ib0")
    assert not list(tmp_path.rglob("jobqueue*"))


def test_low_priority_instances_go_where_they_are_preempted_and_their_host_does_not():
    compute = SlurmCompute(name="hpc", partition="cpu", qos="normal", tier="low_priority",
                           low_priority_partition="spare", low_priority_qos="scavenger")  # fmt: skip
    script = instance_script(compute, "/e1", "x-e1-1")
    assert "#SBATCH -p spare\n" in script and "--qos=scavenger\n" in script and "--mem" not in script.split("exec")[0]
    host = host_script(compute, "/e1", "x-e1-host", ["--root", "/a b"])
    assert "#SBATCH --partition=cpu\n" in host and "--qos=normal\n" in host and "--requeue\n" in host
    assert host.endswith("-m dask_batch.host --root '/a b'\n")
