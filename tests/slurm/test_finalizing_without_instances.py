"""A job that is scored, and whose cluster takes no instance any more that could write its outputs."""

from __future__ import annotations

import pytest

from dask_batch.errors import JobFailed


def test_outputs_that_nobody_will_write_fail_the_job_and_are_written_when_it_is_resumed(ground, slurm, eventually):
    ground.compute(host="here")
    # Longer than it takes to see that there will be no other instance.
    job = ground.invoke(0.0, 20.0)
    eventually(lambda: len(ground.calls()) == 2, "the last file is being scored", 60)
    (instance,) = ground.running(slurm)
    ground.compute(host="here", partition="nowhere")
    with pytest.raises(JobFailed, match=r"(?i)invalid partition"):
        more = ground.invoke(0.0)
        slurm.run("scancel", "--signal=TERM", "--batch", instance.id)
        more.wait(90, show=False)
    with pytest.raises(JobFailed, match=r"(?i)could not be written.*invalid partition"):
        job.wait(90, show=False)
    ground.compute(host="here")
    job.resume()
    assert ground.scored(job) == ground.names(2)
