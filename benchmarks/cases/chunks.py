"""What the host does for each chunk: time and memory as their number grows, and how many slots it can keep busy."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Figure, Round
from benchmarks.cases.staged import peak_mb, staged_job
from benchmarks.task import Sample, ask, cpu_s
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.reporter import Capacity

__all__ = ["busy_case", "chunks_case"]

_CHUNK_S = 2.0
_SLOTS_AN_INSTANCE = 16
_COUNTS = (1_000, 10_000, 100_000)
_INSTANCES = (1, 5, 10, 25, 50)


def chunks_case(scale: float) -> Case:
    """A coordinator with its ledger, status and decision; chunks take no time."""
    counts = [max(100, int(count * scale)) for count in _COUNTS]
    return Case(
        "chunks",
        "the host's work for a job whose chunks take no time, each of one mini-batch: plan, ledger, status, decision",
        {f"{count:,} chunks": _measured("chunks", count) for count in counts},
        [
            *(_ms_per_chunk(count) for count in counts),
            *(_number(f"{count:,} chunks", f"{count:,} chunks: peak memory", "peak_mb", "MB") for count in counts),
        ],
    )


def busy_case(scale: float) -> Case:
    """A real scheduler, workers in this process and chunks that only wait; the scale does not matter."""
    names = [f"{count} instances" for count in _INSTANCES]
    return Case(
        "busy",
        f"simulated instances of {_SLOTS_AN_INSTANCE} slots in one process with scheduler and coordinator, "
        f"chunks that wait {_CHUNK_S:g} s",
        {name: _measured("busy", count) for name, count in zip(names, _INSTANCES, strict=True)},
        [
            _number(name, f"{name}, {count * _SLOTS_AN_INSTANCE} slots: share of the time that slots were busy", "busy")
            for name, count in zip(names, _INSTANCES, strict=True)
        ],
        notes=["All simulated workers share the host's core, so a real host can keep more of them busy than this."],
    )


def _measured(how: str, count: int) -> Callable[[], Sample]:
    def sample() -> Sample:
        record = ask([sys.executable, "-m", "benchmarks.cases.chunks", how, str(count)])
        return Sample(record.pop("seconds"), record)

    return sample


def _ms_per_chunk(count: int) -> Figure:
    def of(one: Round) -> float:
        return one[f"{count:,} chunks"].seconds / count * 1e3

    return Figure(f"{count:,} chunks: time for each", of, unit="ms")


def _number(name: str, text: str, key: str, unit: str = "") -> Figure:
    return Figure(text, lambda one: one[name].numbers[key], unit=unit)


# -- in a process of its own -------------------------------------------------------------------------------------------


class _Idle:
    """An executor whose chunks take no time."""

    width = 1

    async def score(self, task: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return _outcome(task)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    async def cancel(self, gate: str) -> None:
        """Nothing is in hand for long."""


def _outcome(task: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of a chunk that took so long that the next one is no larger."""
    items = len(task["message"]["mini_batches"])
    return {
        "result": "scored",
        "counts": {"items": items, "succeeded": items, "rows_out": 0, "bytes": items * 10},
        "report": None,
        "part": None,
        "errors": None,
        "seconds": _CHUNK_S * items,
        "slot_seconds": _CHUNK_S * items,
        "instance": "simulated",
        "attempt": secrets.token_hex(8),
    }


async def _chunks(count: int, root: Path) -> dict[str, float]:
    from dask_batch.host.coordinator import Coordinator

    folder, definition = staged_job(root, count, output_action="summary_only")
    idle = _Idle()
    dispatcher = Dispatcher(idle)
    dispatcher.resize(4)
    begun, used = time.perf_counter(), cpu_s()
    await Coordinator(folder, 1, definition, idle, dispatcher, Capacity(instances=1)).run()
    seconds = time.perf_counter() - begun
    _check(folder, count)
    return {"seconds": seconds, "cpu_s": cpu_s() - used, "peak_mb": peak_mb()}


async def _busy(instances: int, root: Path) -> dict[str, float]:
    from distributed import Worker

    from dask_batch.host.cluster import Cluster
    from dask_batch.host.coordinator import Coordinator

    class Simulated(Cluster):
        async def score(self, task: dict[str, Any]) -> dict[str, Any]:
            await self.run(_wait, _CHUNK_S)
            return _outcome(task)

    slots = instances * _SLOTS_AN_INSTANCE
    chunks = slots * 10
    folder, definition = staged_job(root, chunks, output_action="summary_only", instance_count=instances)
    async with Simulated() as cluster:
        workers = [
            await Worker(
                cluster.scheduler.address,
                nthreads=_SLOTS_AN_INSTANCE,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                local_directory=str(root),
            )
            for _ in range(instances)
        ]
        dispatcher = Dispatcher(cluster)
        dispatcher.resize(slots)
        begun, used = time.perf_counter(), cpu_s()
        await Coordinator(folder, 1, definition, cluster, dispatcher, Capacity(instances=instances)).run()
        seconds = time.perf_counter() - begun
        used = cpu_s() - used
        await asyncio.gather(*(worker.close() for worker in workers))
    _check(folder, chunks)
    return {"seconds": seconds, "busy": chunks * _CHUNK_S / slots / seconds, "cpu_ms_per_chunk": used / chunks * 1e3}


async def _wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _check(folder: Any, items: int) -> None:
    decision = folder.decision(1)
    if decision["outcome"] != "Completed" or decision["counts"]["succeeded"] != items:
        raise SystemExit(f"{decision['outcome']}, {decision['counts']}: {decision['reason']}")


def main() -> None:
    """Do what the command line says; print what it took."""
    how, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        record = asyncio.run({"chunks": _chunks, "busy": _busy}[how](count, Path(folder)))
    print(json.dumps(record))


if __name__ == "__main__":
    main()
