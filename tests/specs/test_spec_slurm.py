"""SLURM computes: what they take, what they refuse, and how they are read by their type."""

from __future__ import annotations

import pytest

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.compute import LocalCompute, compute_from_stored, compute_from_yaml, parse_compute
from dask_batch.specs.slurm import SlurmCompute, walltime_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("02:30", 150),
        ("01:30:00", 5400),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("1-12:30:15", 131_415),
    ],
)
def test_a_walltime_is_what_slurm_takes(text, seconds):
    assert walltime_seconds(text) == seconds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"walltime": "an hour"}, "walltime='an hour': must be a time limit, such as '01:30:00'"),
        ({"walltime": "00:00"}, "must be longer than nothing"),
        ({"host_walltime": "1-"}, "must be a time limit"),
        ({"partition": "a b"}, "partition='a b': must be one word"),
        ({"account": "x\n#SBATCH -p y"}, "must be one word"),
        ({"gpus": "two"}, "must be a number, or a type and a number such as 'a100:2'"),
        ({"gpus": -1}, "must be 0 or more"),
        ({"cores": 0}, "cores=0: must be 1 or more"),
        ({"host": "there"}, "must be 'job' or 'here'"),
        ({"job_extra_directives": ["exclusive"]}, "'exclusive' is no option of sbatch"),
        ({"job_extra_directives": ["--requeue"]}, "dask-batch sets --requeue itself"),
        ({"job_extra_directives": ["-t 10"]}, "dask-batch sets --time itself"),
        ({"job_extra_directives": ["-n4"]}, "dask-batch sets --ntasks itself"),
        ({"job_script_prologue": 3}, "must be a list of lines"),
        ({"tier": "low_priority"}, "tier: low_priority needs low_priority_partition or low_priority_qos"),
        ({"partitions": "x"}, "unknown key 'partitions'; did you mean 'partition'?"),
    ],
)
def test_what_is_wrong_with_a_slurm_compute(values, message):
    with pytest.raises(InvalidDefinition) as caught:
        parse_compute({"type": "slurm", "name": "hpc", **values})
    assert message in str(caught.value)


def test_slots_are_as_said_or_one_per_gpu_or_one_per_core():
    assert SlurmCompute(name="a", cores=8).known_slots == 8
    assert SlurmCompute(name="a", cores=8, gpus="a100:2").known_slots == 2
    assert SlurmCompute(name="a", cores=8, gpus=2, slots=3).known_slots == 3


def test_directives_that_only_resemble_ours_are_taken():
    given = ("--nodelist=n1", "--mem-per-cpu=1G", "--exclusive", "--time-min=1")
    assert SlurmCompute(name="a", job_extra_directives=given).job_extra_directives == given


def test_the_type_decides_what_a_file_is_read_as(tmp_path):
    file = tmp_path / "hpc.yml"
    file.write_text("name: hpc\ntype: slurm\npartition: cpu\nwalltime: 01:30:00\njob_script_prologue: |\n  a\n  b\n")
    compute = compute_from_yaml(file)
    assert compute == SlurmCompute(name="hpc", partition="cpu", walltime="01:30:00", job_script_prologue=["a", "b"])
    assert compute_from_yaml(file, {"cores": 4}).cores == 4
    assert compute_from_stored(compute.to_stored()) == compute
    assert compute_from_stored(LocalCompute(name="l").to_stored()) == LocalCompute(name="l")


def test_a_file_that_forgot_its_type_is_told_so(tmp_path):
    file = tmp_path / "hpc.yml"
    file.write_text("name: hpc\npartition: cpu\n")
    with pytest.raises(
        InvalidDefinition, match=r"unknown key 'partition'(.|\n)*'partition' is a key of those with type: slurm"
    ):
        compute_from_yaml(file)
    file.write_text("name: hpc\npartitoin: cpu\n")
    with pytest.raises(InvalidDefinition, match="unknown key 'partitoin'") as raised:
        compute_from_yaml(file)
    assert "slurm" not in str(raised.value)


def test_a_compute_of_one_type_is_not_built_from_another_ones_definition():
    with pytest.raises(InvalidDefinition, match="this is the definition of a local compute; give type: local"):
        LocalCompute(name="x", type="slurm")
