"""The host is killed at half-way: what that costs."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path

import dask_batch as db
from benchmarks.case import Case, Figure, Round
from benchmarks.cases.tabular import tabular_task
from benchmarks.data import FOLDER
from benchmarks.ours import COMPUTE, ENDPOINT, deployed, environment, host_pid, ledger_files, moments, workspace
from benchmarks.task import Sample, ask
from dask_batch.jobs.hosts import stop_host

__all__ = ["recovery_case"]


def recovery_case(scale: float) -> Case:
    """The tabular task, cold, undisturbed and with kill -9 of the host, which takes its scoring processes along."""
    task = tabular_task(scale, warm=False)
    digests: set[str] = set()

    def sample(how: str) -> Sample:
        name = deployed(task)
        with workspace() as ws:
            stop_host(ws.storage, COMPUTE)
            command = [sys.executable, "-m", "benchmarks.cases.recovery", how, task.inputs, name, str(task.expected)]
            record = ask(command, environment())
            stop_host(ws.storage, COMPUTE)
        digests.add(record.pop("digest"))
        if len(digests) > 1:
            raise RuntimeError("outputs differ between an undisturbed run and one whose host was killed")
        return Sample(record.pop("seconds"), record)

    def allowed(one: Round) -> float:
        undisturbed = one["undisturbed"]
        return one["killed"].seconds / (1.15 * undisturbed.seconds + undisturbed.numbers["first_commit_s"])

    return Case(
        "recovery",
        f"{task.expected:,} rows × 20 doubles, kill -9 of the host at half-way; outputs are the same, byte for byte",
        {"undisturbed": lambda: sample("undisturbed"), "killed": lambda: sample("killed")},
        [
            Figure("total against 1.15 × undisturbed + a cold start (invoke → first commit)", allowed, at_most=1.0),
            Figure("from the kill to the next commit", lambda one: one["killed"].numbers["back_s"], unit="s"),
            Figure("lost and done again", lambda one: one["killed"].seconds - one["undisturbed"].seconds, unit="s"),
        ],
    )


def main() -> None:
    """Run one job, killed or not, and print what it took and a digest of its output."""
    how, inputs, deployment, expected = sys.argv[1:]
    output = FOLDER / "output" / secrets.token_hex(4)
    with db.Workspace(str(FOLDER / "workspace")) as ws:
        begun = time.time()
        job = ws.endpoints[ENDPOINT].invoke(
            inputs, deployment=deployment, output=str(output), output_file_name="predictions.parquet"
        )
        numbers = _kill_half_way(ws, job) if how == "killed" else {}
        job.wait(show=False)
        seconds = time.time() - begun
        if numbers:
            later = min(
                path.stat().st_mtime for path in ledger_files(job) if not path.name.startswith(f"e{numbers['epoch']}-")
            )
            numbers["back_s"] = later - numbers.pop("killed_at")
        numbers |= {f"{name}_s": at - begun for name, at in moments(job).items()}
        if job.status.counts.rows_out != int(expected):
            raise SystemExit(f"{job.status.counts.rows_out} rows of {expected}")
        job.delete()
    print(json.dumps({"seconds": seconds, "digest": _digest(output), **numbers}))
    shutil.rmtree(output)


def _kill_half_way(ws: db.Workspace, job: db.Job) -> dict[str, float]:
    """Wait until half is done, kill the host; return when, and its epoch."""
    from dask_batch.jobs.hosts import host_state

    while job.status.progress < 0.5:
        time.sleep(0.05)
    epoch = host_state(ws.storage, COMPUTE).epoch
    pid = host_pid(ws)
    if pid is None:
        raise SystemExit("the host ended before it could be killed")
    os.kill(pid, signal.SIGKILL)
    return {"killed_at": time.time(), "epoch": epoch}


def _digest(output: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(output.rglob("*")):
        if path.is_file() and not path.name.startswith("_"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
