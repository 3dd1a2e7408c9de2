"""A job whose chunks were scored by whoever wrote the test."""

from __future__ import annotations

import io
import json
import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry
from dask_batch.jobfolder.plan import PLAN_SCHEMA, Plan, PlanInfo
from dask_batch.storage import Storage


class Job:
    """A job whose chunks were scored by whoever wrote the test."""

    def __init__(self, root: str, input_format: str = "table", name: str = "j", **output: Any) -> None:
        self.folder = JobFolder(Storage(root), name)
        settings = {"output_action": output.pop("output_action", "append_row")}
        target = {"url": self.folder.url("outputs", "score"), "file_name": "predictions.csv", "overwrite": False}
        self.output = target | output
        self.folder.create({"name": name, "output": self.output, "settings": settings})
        self.input_format = input_format
        self.entries: list[Entry] = []

    @property
    def place(self) -> Path:
        return Path(self.output["url"])

    def plan(self, splits: list[tuple[int, str]]) -> Plan:
        """Write the plan: (mini-batch, path) of each split; neighbours of one path are pieces of one file."""
        files = list(dict.fromkeys(path for _, path in splits))
        rows = [
            {
                "mini_batch": mini_batch,
                "file": files.index(path),
                "path": path,
                "size": 100,
                "version": "1",
                "format": "csv",
                "cut": "whole",
                "start": None,
                "stop": None,
            }
            for mini_batch, path in splits
        ]
        plan = Plan(pa.Table.from_pylist(rows, PLAN_SCHEMA), PlanInfo(self.input_format, len(files), 100))
        assert plan.write(self.folder)
        return plan

    def commit(
        self,
        chunk: tuple[Any, ...],
        rows: pa.Table | None = None,
        *,
        run: int = 1,
        split_rows: dict[int, int] | None = None,
        errors: list[dict[str, Any]] | None = None,
        files: dict[str, str] | None = None,
        batch: int | None = None,
    ) -> Entry:
        """Write part, errors, report and collected files as a scoring process does, and note the entry."""
        attempt = secrets.token_hex(8)
        storage, path = self.folder.storage, self.folder.path
        covered = Chunk.from_json(list(chunk))
        failed = len(errors or [])
        count = rows.num_rows if rows is not None else 0
        if rows is not None:
            sink = io.BytesIO()
            with pa.ipc.new_file(sink, rows.schema) as writer:
                writer.write_table(rows, max_chunksize=batch)
            storage.put(path("parts", f"{attempt}.arrow"), sink.getvalue())
        if errors:
            storage.put(path("errors", f"{attempt}.jsonl"), "".join(json.dumps(e) + "\n" for e in errors).encode())
        for name, content in (files or {}).items():
            storage.put(path("parts", attempt, name), content.encode())
        batches = list(range(covered.first, covered.stop))
        report = {
            "mini_batches": {
                "mini_batch": batches,
                "items": [(count + failed) // len(batches)] * len(batches),
                "rows": [count // len(batches)] * len(batches),
                "failed": [failed // len(batches)] * len(batches),
                "attempts": [1] * len(batches),
                "seconds": [0.5] * len(batches),
            },
            "files": [[covered.first, name] for name in files or {}],
        }
        storage.put_json(path("reports", f"{attempt}.json"), report)
        entry = Entry(
            covered,
            Counts(count + failed, count, failed, rows_out=count, collected=len(files or {})),
            part=f"parts/{attempt}.arrow" if rows is not None else None,
            report=f"reports/{attempt}.json",
            errors=f"errors/{attempt}.jsonl" if errors else None,
            split_rows={str(split): n for split, n in (split_rows or {}).items()},
            run=run,
            instance="i1",
        )
        self.entries.append(entry)
        return entry

    def decide(self, run: int = 1, outcome: str = "Completed") -> dict[str, Any]:
        counts = sum((entry.counts for entry in self.entries), Counts())
        decision = {
            "format": 1,
            "run": run,
            "outcome": outcome,
            "counts": counts.to_json(),
            "entries": [entry.to_json() for entry in self.entries],
        }
        assert self.folder.decide(run, decision)
        return decision


def rows(splits: list[int], numbers: list[int], **columns: Any) -> pa.Table:
    """A part's rows: where they came from, and output columns."""
    hidden = {"__split": pa.array(splits, pa.int32()), "__row": pa.array(numbers, pa.int64())}
    return pa.table({**columns, **hidden})
