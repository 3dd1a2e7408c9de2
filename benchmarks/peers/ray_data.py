"""Ray Data: read, ``map_batches`` with a pool of actors that hold the model, write."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from benchmarks.peers.work import ONE_THREAD, load, pieces, written_rows
from benchmarks.task import Sample, Task, answer, in_process, read_task

__all__ = ["RayData"]

_BATCH_ROWS = 65_536


class RayData:
    """A dataset pipeline in a process of its own, with a Ray that starts and ends with it."""

    name = "ray"
    settings = (
        "ray.init(num_cpus=actors + 2), since readers starve where actors hold all logical CPUs; ActorPoolStrategy("
        f"size=2), batch_format 'pandas', batch_size {_BATCH_ROWS:,} rows, or files of which a script gets one at a "
        "time; no dashboard, no progress bars"
    )

    def run(self, task: Task) -> Sample:
        """Run it."""
        return in_process(
            "benchmarks.peers.ray_data",
            task,
            {**ONE_THREAD, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"},
        )


class _Predictor:
    def __init__(self, kind: str, model: str) -> None:
        self._predict = load(kind, model)
        self._one_by_one = kind == "script"

    def __call__(self, frame: Any) -> Any:
        import pandas as pd

        if self._one_by_one:
            return pd.DataFrame({"prediction": [self._predict([path])[0] for path in frame["path"]]})
        return pd.DataFrame({"prediction": self._predict(frame)})


def main() -> None:
    """Do the task of the command line."""
    import ray

    task = read_task()
    begun = time.time()
    os.makedirs(task.output)
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            num_cpus=task.processes + 2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=folder,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            _run(task)
            done = time.time()
        finally:
            ray.shutdown()
    answer(written_rows(task.output), begun, done)


def _run(task: Task) -> None:
    import ray

    if task.kind == "script":
        data = ray.data.from_items([{"path": piece[2]} for piece in pieces(task)])
    elif _parquet(task):
        data = ray.data.read_parquet(task.inputs)
    else:
        data = ray.data.read_csv(task.inputs)
    scored = data.map_batches(
        _Predictor,
        fn_constructor_args=(task.kind, task.model),
        compute=ray.data.ActorPoolStrategy(size=task.processes),
        batch_format="pandas",
        batch_size=_BATCH_ROWS,
    )
    if task.ending == ".parquet":
        scored.write_parquet(task.output)
    else:
        scored.write_csv(task.output)


def _parquet(task: Task) -> bool:
    return pieces(task)[0][2].endswith(".parquet")


if __name__ == "__main__":
    main()
