"""What SLURM says when it refuses, where a cluster with accounting is needed to make it say so."""

from __future__ import annotations

import pickle

import pytest

from dask_batch.compute.slurm.refusals import refusal
from dask_batch.errors import DaskBatchError, SlurmError

POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
    "(job submit limit, user's size and/or time limits)"
)


@pytest.mark.parametrize(
    "said, permanent, advice",
    [
        ("sbatch: error: Batch job submission failed: Invalid qos specification", True, "change qos"),
        ("sbatch: error: Batch job submission failed: Access/permission denied", True, "ask its administrators"),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", False, "max_instances"),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", False, "max_instances"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", True, "change cores, memory, gpus or walltime"),
        (f"sbatch: error: QOSMinGRES\n{POLICY}", True, "change cores, memory, gpus or walltime"),
        (POLICY, False, "max_instances"),
        ("squeue: error: slurm_load_jobs error: Zero Bytes were transmitted or received", False, "does not answer"),
        ("sbatch: error: Munge encode failed: Failed to access socket", False, "does not answer"),
        ("sbatch: error: something that nobody has heard of", False, "tried again"),
        ("", False, "failed without a word: it is tried again"),
    ],
)
def test_refusals_that_pass_are_told_from_those_that_do_not(said, permanent, advice):
    error = refusal("sbatch", said)
    assert error.permanent is permanent
    assert advice in str(error)


def test_slurms_own_words_are_kept_each_once():
    error = refusal("sbatch", "sbatch: error: one.\nsbatch: error: two\nsbatch: error: one.\n\n")
    assert str(error) == "sbatch: one; two: it is tried again"


def test_the_error_is_one_of_ours_and_travels():
    error = pickle.loads(pickle.dumps(SlurmError("x", permanent=True)))
    assert isinstance(error, DaskBatchError) and error.permanent and str(error) == "x"
