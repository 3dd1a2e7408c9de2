"""Jobs are submitted, seen and canceled on a real SLURM, and every refusal of it is told in its words."""

from __future__ import annotations

import getpass
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dask_batch.compute.slurm import control
from dask_batch.errors import SlurmError

SLEEP = "#!/bin/sh\nexec sleep 3600\n"
TRUE = "#!/bin/sh\ntrue\n"
QUIET = "--output=/dev/null"


def submit(*arguments, script=SLEEP, **limits):
    return control.submit(script, arguments=[QUIET, *arguments], **limits)


def queued(prefix="", **limits):
    return control.queue(getpass.getuser(), prefix, **limits)


def test_a_submitted_job_runs_and_is_seen(slurm, eventually):
    before = time.time()
    job = submit("--job-name=mine-1", "--time=10", "--cpus-per-task=2")
    eventually(lambda: queued("mine-")[0].phase == "running", "the job runs")
    (seen,) = queued("mine-")
    assert (seen.id, seen.name, seen.state, seen.reason, seen.nodes) == (job, "mine-1", "RUNNING", "", "n1")
    assert seen.cpus == 2
    assert abs(seen.expected_start - before) < 60
    slurm.cancel()


def test_the_script_goes_through_as_it_is(slurm, tmp_path, eventually):
    text = "ü $HOME 'x' \"y\" \udcff"
    submit(f"--output={tmp_path}/out", script=f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    eventually(lambda: not slurm.queue(), "the job has ended")
    assert (tmp_path / "out").read_bytes() == f"{text}\n".encode("utf-8", "surrogateescape")


def test_only_names_that_begin_so_are_seen_in_whatever_form_names_come(slurm):
    odd = "mine-|\x1f'\"\nü%j"
    ids = [submit("--hold", f"--job-name={name}") for name in (odd, "mine-2", "others")]
    assert {job.id: job.name for job in queued("mine-")} == {ids[0]: odd, ids[1]: "mine-2"}
    control.cancel(ids)


def test_why_a_job_waits_is_seen(slurm, eventually):
    held = submit("--hold", "--job-name=w-held")
    later = submit("--begin=now+1hour", "--job-name=w-later")
    whole = submit("-N4", "--exclusive", "--job-name=w-whole")
    next_ = submit("-n16", "--job-name=w-next")
    behind = submit("--job-name=w-behind")
    wanted = {held: "JobHeldUser", later: "BeginTime", whole: "", next_: "Resources", behind: "Priority"}
    eventually(lambda: {job.id: job.reason for job in queued("w-")} == wanted, "SLURM says why")
    start = next(job.expected_start for job in queued("w-") if job.id == later)
    assert 3000 < start - time.time() < 4200
    control.cancel(wanted)


def test_a_job_that_can_never_start_is_told_from_one_that_waits(slurm, eventually):
    submit("--partition=short", "--time=1", "--hold", "--job-name=never")
    slurm.run("scontrol", "update", "PartitionName=short", "State=DOWN")
    slurm.run("scontrol", "release", queued("never")[0].id)
    eventually(lambda: queued("never")[0].reason == "PartitionDown", "SLURM says why")
    assert not queued("never")[0].hopeless
    slurm.run("scontrol", "update", "PartitionName=short", "State=UP", "MaxNodes=0")
    eventually(lambda: queued("never")[0].hopeless, "SLURM says why")
    slurm.run("scontrol", "update", "PartitionName=short", "MaxNodes=UNLIMITED")
    slurm.cancel()


def test_canceling_is_repeatable_and_passes_over_what_has_ended(slurm, eventually):
    jobs = [submit(), submit(script=TRUE), submit("--hold")]
    eventually(lambda: jobs[1] not in [job.id for job in queued()], "one has ended")
    control.cancel([*jobs, "999999"])
    control.cancel(jobs)
    control.cancel([])
    eventually(lambda: not queued(), "all are gone")


@pytest.mark.parametrize(
    "arguments, words, advice",
    [
        (["--partition=nosuch"], "invalid partition specified: nosuch", "change partition"),
        (["--partition=closed"], "Invalid account or account/partition combination", "change account"),
        (["--gres=gpu:9"], "Requested node configuration is not available", "change cores, memory, gpus"),
        (["--gres=fpga:1"], "Invalid generic resource (gres) specification", "change gpus"),
        (["--partition=short", "--time=10"], "Requested time limit is invalid", "change walltime"),
        (["--time=soon"], "Invalid --time specification", "change walltime"),
        (["--ntasks=1000"], "More processors requested than permitted", "change cores"),
        (["--mem=1T"], "Memory specification can not be satisfied", "change cores, memory"),
        (["--nodes=9"], "Node count specification invalid", "change cores"),
        (["--constraint=haswell"], "Invalid feature specification", "constraint"),
        (["--nodelist=n9"], "Invalid node name specified", "change cores"),
        (["--reservation=mine"], "Requested reservation is invalid", "job_extra_directives"),
        (["--licenses=matlab"], "Invalid license specification", "job_extra_directives"),
        (["--nonsense"], "unrecognized option '--nonsense'", "job_extra_directives"),
        (["--cpus-per-task=x"], 'Invalid numeric value "x"', "job_extra_directives"),
    ],
)
def test_what_can_never_be_is_refused_for_good(slurm, arguments, words, advice):
    with pytest.raises(SlurmError) as raised:
        submit(*arguments)
    assert raised.value.permanent
    assert words in str(raised.value)
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    "script, words",
    [("true\n", "does not look like a batch script"), ("", "script is empty"), ("#!/bin/sh\r\n", "DOS line breaks")],
)
def test_what_is_no_script_is_refused_for_good(slurm, script, words):
    with pytest.raises(SlurmError, match=words) as raised:
        submit(script=script)
    assert raised.value.permanent


@pytest.mark.parametrize("state", ["DRAIN", "INACTIVE"])
def test_a_partition_that_takes_no_jobs_now_may_take_some_later(slurm, state):
    slurm.run("scontrol", "update", "PartitionName=short", f"State={state}")
    try:
        with pytest.raises(SlurmError, match="Required partition not available") as raised:
            submit("--partition=short")
    finally:
        slurm.run("scontrol", "update", "PartitionName=short", "State=UP")
    assert not raised.value.permanent
    control.cancel([submit("--partition=short")])


def test_a_full_queue_is_said_and_passes(slurm):
    job = submit("--hold")
    with slurm.configured("MaxJobCount=1"):
        with pytest.raises(SlurmError, match="temporarily unable to accept job") as raised:
            submit("--hold", limit_s=3)
        assert not raised.value.permanent
        slurm.cancel(job)


def test_a_controller_that_is_down_is_said_and_passes(slurm):
    job = submit("--hold")
    slurm.controller_down()
    with ThreadPoolExecutor() as threads:  # SLURM's commands try for nine seconds
        asked = [threads.submit(ask) for ask in (submit, queued, lambda: control.cancel([job]))]
    for error in (each.exception() for each in asked):
        assert isinstance(error, SlurmError) and not error.permanent
        assert "Unable to contact slurm controller" in str(error)
    slurm.controller_up()
    assert [each.id for each in queued()] == [job]
    control.cancel([job])


def test_a_controller_that_hangs_is_given_up(slurm):
    with slurm.frozen_controller(), pytest.raises(SlurmError, match="timed out after 1 s") as raised:
        queued(limit_s=1)
    assert not raised.value.permanent


@pytest.mark.parametrize(
    "ask, command", [(submit, "sbatch"), (queued, "squeue"), (lambda: control.cancel(["1"]), "scancel")]
)
def test_a_machine_without_slurm_is_told_from_one_that_is_busy(monkeypatch, tmp_path, ask, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match=f"no `{command}` on the PATH of this machine: use a login node") as raised:
        ask()
    assert raised.value.permanent


def test_a_command_that_may_not_be_run_is_said(monkeypatch, tmp_path):
    (tmp_path / "sbatch").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="`sbatch` cannot be run: Permission denied") as raised:
        submit()
    assert raised.value.permanent


def test_a_configuration_that_is_not_there_is_said(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(SlurmError, match="SLURM_CONF must name the cluster's"):
        submit(limit_s=2)


def test_a_user_that_slurm_does_not_know_is_said(slurm):
    with pytest.raises(SlurmError, match="Invalid user: nobody-at-all") as raised:
        control.queue("nobody-at-all", "")
    assert raised.value.permanent


def test_variables_of_the_user_and_of_a_surrounding_job_change_nothing(slurm, monkeypatch, tmp_path, eventually):
    monkeypatch.setenv("SBATCH_PARTITION", "nosuch")
    monkeypatch.setenv("SQUEUE_STATES", "COMPLETED")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    job = submit(f"--output={tmp_path}/out", script="#!/bin/sh\necho [$SLURM_CPUS_PER_TASK]; exec sleep 3600\n")
    eventually(lambda: (tmp_path / "out").is_file() and (tmp_path / "out").read_text() == "[]\n", "the job runs")
    (seen,) = queued()
    assert seen.id == job and seen.expected_start is not None
    control.cancel([job])
