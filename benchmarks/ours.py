"""This project as a contender: deployed beforehand, then used through the public API by a client in a new process."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import dask_batch as db
from benchmarks.data import FOLDER
from benchmarks.task import Sample, Task, answer, cpu_s, in_process, read_task
from dask_batch.jobs.hosts import host_state, stop_host

__all__ = ["Ours", "deployed", "environment", "host_pid", "moments", "workspace"]

COMPUTE = "bench"
ENDPOINT = "bench"


class Ours:
    """A deployment on a local compute; each `run` is a client that invokes it and waits."""

    name = "dask-batch"
    settings = "LocalCompute(slots=2) unless said otherwise, defaults otherwise"

    def run(self, task: Task) -> Sample:
        """Deploy if need be, make sure that nothing runs, and let a client do the task; afterwards nothing runs."""
        name = deployed(task)
        with workspace() as ws:
            stop_host(ws.storage, COMPUTE)
            try:
                return in_process("benchmarks.ours", _with(task, deployment=name), environment())
            finally:
                stop_host(ws.storage, COMPUTE)


def environment() -> dict[str, str]:
    """Return the variables that clients and hosts run with."""
    return {"DASK_BATCH_SCRATCH": str(FOLDER / "scratch"), "MLFLOW_DISABLE_TELEMETRY": "true"}


def workspace() -> db.Workspace:
    """Return the workspace of the benchmarks."""
    os.environ.update(environment())
    return db.Workspace(str(FOLDER / "workspace"))


def deployed(task: Task) -> str:
    """Return the name of the deployment for a task; made if there is none, on a compute with its slots."""
    name = f"{task.kind}-{task.processes}"
    with workspace() as ws:
        compute = db.LocalCompute(name=COMPUTE, slots=task.processes)
        if COMPUTE not in list(ws.compute) or ws.compute[COMPUTE].slots != task.processes:
            stop_host(ws.storage, COMPUTE)
            ws.compute.create_or_update(compute)
        if ENDPOINT not in ws.endpoints:
            ws.endpoints.create(ENDPOINT)
        endpoint = ws.endpoints[ENDPOINT]
        if name not in endpoint.deployments:
            endpoint.deploy(_definition(name, task))
    return name


def _definition(name: str, task: Task) -> db.ModelDeployment:
    if task.kind == "table":
        return db.ModelDeployment(name=name, model=task.model, compute=COMPUTE)
    script = Path(task.model)
    return db.ModelDeployment(
        name=name, code=str(script.parent), scoring_script=script.name, compute=COMPUTE, mini_batch_size=1
    )


def _with(task: Task, **options: object) -> Task:
    return Task(**{**task.__dict__, "options": {**task.options, **options}})


# -- the client's process ----------------------------------------------------------------------------------------------


def main() -> None:
    """Do the task of the command line."""
    task = read_task()
    with db.Workspace(str(FOLDER / "workspace")) as ws:
        endpoint = ws.endpoints[ENDPOINT]
        given = {"deployment": task.options["deployment"], "output_file_name": f"predictions{task.ending}"}
        if task.warm_inputs:
            endpoint.invoke(task.warm_inputs, **given).wait(show=False).delete()
        begun = time.time()
        job = endpoint.invoke(task.inputs, output=task.output, **given)
        invoked = time.time()
        job.wait(show=False)
        done = time.time()
        counts = job.status.counts
        rows = counts.rows_out if task.kind == "table" else counts.succeeded
        numbers = {"chunks": job.status.chunks, **usage(ws)}
        answer(rows, begun, done, numbers, {"invoking": begun, "invoked": invoked} | moments(job))
        job.delete()
        shutil.rmtree(task.output)


def moments(job: db.Job) -> dict[str, float]:
    """Return when a job got where: its states, and the commits of its first and its last chunk."""
    from datetime import datetime

    found = {}
    for event in job.events():
        if event["event"] == "state":
            found[event["finish"].lower()] = datetime.fromisoformat(event["at"]).timestamp()
    commits = sorted(path.stat().st_mtime for path in ledger_files(job))
    if commits:
        found |= {"first_commit": commits[0], "last_commit": commits[-1]}
    return found


def ledger_files(job: db.Job, epoch: int | None = None) -> list[Path]:
    """Return the files in which a job's chunks were committed (by the host of one epoch)."""
    which = r"\d+" if epoch is None else str(epoch)
    return [
        path for path in Path(job.folder.url("ledger")).iterdir() if re.fullmatch(rf"e{which}-\d+\.json", path.name)
    ]


def host_pid(ws: db.Workspace) -> int | None:
    """Return the process of the host, if it lives."""
    process = host_state(ws.storage, COMPUTE).process
    return None if process is None else int(process["pid"])


def usage(ws: db.Workspace) -> dict[str, float]:
    """Return what the host and its scoring processes have used until now; they stay warm after a job."""
    import psutil

    pid = host_pid(ws)
    if pid is None:
        return {}
    host, here = psutil.Process(pid), cpu_s()
    scoring = [child for child in host.children() if "dask_batch.scoring" in child.cmdline()]
    return {
        "cpu_s": here + _cpu_s(host) + sum(map(_cpu_s, scoring)),
        "host_cpu_s": _cpu_s(host),
        "host_peak_mb": _peak_mb(pid),
        "scoring_cpu_s": sum(map(_cpu_s, scoring)),
        "scoring_peak_mb": max((_peak_mb(child.pid) for child in scoring), default=0.0),
        "scoring_processes": len(scoring),
    }


def _cpu_s(process: object) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak_mb(pid: int) -> float:
    """Return the largest resident size that the kernel noted for a process, in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    main()
