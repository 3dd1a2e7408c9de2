"""What `squeue` prints is read as it is meant, whatever is in the names of jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.compute.slurm.queue import FORMAT, QueuedJob, explained, parse_queue

SEPARATOR = "\x1f"


def line(**changes):
    fields = {
        "id": "7",
        "state": "RUNNING",
        "reason": "None",
        "start": "1795610601",
        "nodes": "n[1-2]",
        "cpus": "4",
        "name": "a job",
    }
    return SEPARATOR.join((fields | changes).values())


def read(**changes) -> QueuedJob:
    (job,) = parse_queue(line(**changes) + "\n")
    return job


def test_a_line_is_a_job():
    assert read() == QueuedJob("7", "a job", "RUNNING", "", 1795610601.0, "n[1-2]", 4)


def test_no_line_is_no_job():
    assert parse_queue("") == parse_queue("\n") == []


@pytest.mark.parametrize("text, count", [("1", 1), ("1000", 1000), ("1K", 1024), ("2M", 2097152), ("?", 0)])
def test_cpus_are_a_number(text, count):
    assert read(cpus=text).cpus == count


@pytest.mark.parametrize("text", ["N/A", "", "Unknown"])
def test_no_expected_start_is_none(text):
    assert read(state="PENDING", start=text).expected_start is None


@pytest.mark.parametrize(
    "state, phase",
    [
        ("PENDING", "pending"),
        ("CONFIGURING", "pending"),
        ("REQUEUE_HOLD", "pending"),
        ("RUNNING", "running"),
        ("SUSPENDED", "running"),
        ("COMPLETING", "ending"),
        ("PREEMPTED", "gone"),
        ("NODE_FAIL", "gone"),
        ("OUT_OF_MEMORY", "gone"),
        ("SOMETHING_NEW", "running"),
    ],
)
def test_states_are_grouped(state, phase):
    assert read(state=state).phase == phase


names = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(names, max_size=5))
def test_odd_names_break_no_other_field(odd):
    written = [line(id=str(number), name=name) for number, name in enumerate(odd)]
    found = parse_queue("".join(f"{each}\n" for each in written))
    assert [(job.id, job.name, job.cpus) for job in found] == [(str(n), name, 4) for n, name in enumerate(odd)]


@given(st.text())
def test_nothing_that_is_printed_breaks_the_reader(text):
    parse_queue(text)


def test_the_name_is_the_last_field():
    assert FORMAT.endswith("%j") and FORMAT.startswith("%A")


@pytest.mark.parametrize(
    "reason, start",
    [
        ("Priority", "Priority (jobs of higher priority"),
        ("QOSMaxCpuPerUserLimit", "QOSMaxCpuPerUserLimit (you have as much as the QOS allows one user)"),
        ("QOSMaxCpuPerJobLimit", "QOSMaxCpuPerJobLimit (it asks for more than one job may have"),
        ("QOSMaxJobsPerAccount", "QOSMaxJobsPerAccount (your account has"),
        ("QOSGrpNodeLimit", "QOSGrpNodeLimit (the jobs of this QOS have"),
        ("AssocGrpCPUMinutesLimit", "AssocGrpCPUMinutesLimit (the jobs of your account have"),
        ("AssocMaxJobsLimit", "AssocMaxJobsLimit (you have as much"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "ReqNodeNotAvail, UnavailableNodes:n[1-2] (nodes that it needs"),
        ("BeginTime", "BeginTime (it may not start yet"),
        ("Licenses", "Licenses (all licenses"),
    ],
)
def test_reasons_are_explained_after_slurms_own_word(reason, start):
    assert explained(reason).startswith(start)


def test_a_reason_that_says_it_itself_is_left_alone():
    assert explained("SomethingNew") == "SomethingNew"
    assert explained("") == ""


@pytest.mark.parametrize(
    "reason, hopeless",
    [
        ("PartitionConfig", True),
        ("PartitionTimeLimit", True),
        ("BadConstraints", True),
        ("InvalidAccount", True),
        ("DependencyNeverSatisfied", True),
        ("QOSMaxWallDurationPerJobLimit", True),
        ("Priority", False),
        ("Resources", False),
        ("QOSMaxCpuPerUserLimit", False),
        ("PartitionDown", False),
        ("JobHeldAdmin", False),
        ("SomethingNew", False),
    ],
)
def test_reasons_that_do_not_pass_are_told_from_those_that_do(reason, hopeless):
    assert read(state="PENDING", reason=reason).hopeless is hopeless
    assert not read(state="RUNNING", reason=reason).hopeless
