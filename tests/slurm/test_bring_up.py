"""The SLURM that the other tests use does what a cluster does."""

from __future__ import annotations

import psutil
import pytest
from servers.slurm import NODES


def test_a_job_runs_and_its_output_is_there(slurm, tmp_path, eventually):
    slurm.submit("echo $((6 * 7))", f"--output={tmp_path}/out")
    eventually(lambda: not slurm.queue(), "the job has ended")
    assert (tmp_path / "out").read_text() == "42\n"


def test_a_canceled_job_leaves_no_process(slurm, eventually):
    job = slurm.submit("sleep 3600 & setsid sleep 3600")
    eventually(lambda: len(slurm.processes()) >= 4, "the job and what runs it")
    slurm.cancel(job)
    eventually(lambda: not slurm.processes(), "all processes are gone")


def test_a_requested_gpu_is_visible_in_the_job(slurm, tmp_path, eventually):
    for gpus in (1, 2):
        slurm.submit("echo $CUDA_VISIBLE_DEVICES", f"--gres=gpu:{gpus}", f"--output={tmp_path}/{gpus}")
    eventually(lambda: not slurm.queue(), "the jobs have ended")
    assert [(tmp_path / name).read_text() for name in ("1", "2")] == ["0\n", "0,1\n"]


def test_jobs_have_different_gpus(slurm, tmp_path, eventually):
    for name in ("a", "b"):
        slurm.submit("echo $CUDA_VISIBLE_DEVICES; sleep 3600", "--gres=gpu:1", "-wn1", f"--output={tmp_path}/{name}")
    eventually(lambda: all((tmp_path / name).is_file() and (tmp_path / name).read_text() for name in "ab"), "both run")
    assert {(tmp_path / name).read_text() for name in "ab"} == {"0\n", "1\n"}
    slurm.cancel()


def test_an_urgent_job_preempts_one_of_low_priority_which_comes_back(slurm, eventually):
    job = slurm.submit("sleep 3600", "-p", "low", "--requeue")
    # A process that begins while its job is being killed is left alone by SLURM.
    eventually(lambda: "sleep" in [process.name() for process in slurm.scripts(job)], "the job's script is at work")
    urgent = slurm.preempt()
    eventually(lambda: slurm.state(job) == "PENDING", "the job is requeued")
    slurm.cancel(urgent)
    slurm.hurry(job)
    assert slurm.state(job) == "RUNNING"
    slurm.cancel(job)


@pytest.mark.parametrize("requeue, state", [("--requeue", "PENDING"), ("--no-requeue", "")])
def test_a_node_that_crashes_takes_its_processes_along(slurm, eventually, requeue, state):
    job = slurm.submit("sleep 3600", "-wn3", requeue)
    other = slurm.submit("sleep 3600", "-wn2")
    eventually(lambda: [slurm.state(each) for each in (job, other)] == ["RUNNING"] * 2, "both run")
    eventually(lambda: slurm.processes("n3"), "the job has processes")
    slurm.down_node(3)
    assert not slurm.processes("n3")
    eventually(lambda: slurm.state(job) == state, "SLURM has noticed")
    assert slurm.state(other) == "RUNNING"
    slurm.up_node(3)
    slurm.cancel()


def test_jobs_go_on_without_the_controller(slurm, tmp_path, eventually):
    job = slurm.submit(f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; touch {tmp_path}/went")
    eventually(lambda: slurm.state(job) == "RUNNING", "the job runs")
    slurm.controller_down()
    (tmp_path / "go").touch()
    eventually((tmp_path / "went").exists, "the job ends")
    slurm.controller_up()
    eventually(lambda: not slurm.queue(), "the controller knows")


def test_it_listens_on_the_loopback_interface_only(slurm):
    daemons = [slurm._daemon(name) for name in ("slurmctld", *(f"slurmd-n{number}" for number in range(1, NODES + 1)))]
    addresses = [c.laddr.ip for daemon in daemons for c in daemon.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(addresses) == len(daemons)
    assert all(address.startswith("127.") for address in addresses)


def test_what_is_left_in_the_queue_is_noticed(slurm, eventually):
    job = slurm.submit("sleep 3600", "-J", "forgotten")
    with pytest.raises(AssertionError, match="forgotten"):
        slurm.check_nothing_left(within_s=0.5)
    assert slurm.state(job) == ""
