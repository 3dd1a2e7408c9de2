from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_batch.planning.build import ScanRequest, build_plan, group_by_bytes, run_scan, target_for
from dask_batch.planning.formats import format_of, formats_of
from dask_batch.planning.listing import FILES_SCHEMA, list_inputs


def table(sizes: list[int], name: str = "f{}.csv") -> pa.Table:
    paths = [f"/nowhere/{name.format(n)}" for n in range(len(sizes))]
    return pa.table([paths, sizes, ["1"] * len(sizes)], schema=FILES_SCHEMA)


@given(st.lists(st.integers(0, 1000), max_size=300), st.integers(1, 2000), st.integers(1, 20))
@settings(deadline=None)
def test_groups_are_consecutive_and_neither_too_large_nor_too_many_splits(costs, target, most):
    groups = group_by_bytes(np.array(costs, np.int64), target, most)
    assert len(groups) == len(costs)
    assert all(step in (0, 1) for step in np.diff(groups))
    for group in range(int(groups.max()) + 1 if len(groups) else 0):
        members = np.array(costs)[groups == group]
        assert len(members) <= most
        assert members[:-1].sum() < target or len(members) == 1


def test_a_scripts_mini_batch_is_so_many_files_whatever_their_size():
    plan = build_plan(table([1, 10**12, 3, 4, 5]), input_format="files", mini_batch_size=2)
    assert plan.table.column("mini_batch").to_pylist() == [0, 0, 1, 1, 2]
    assert plan.table.column("cut").to_pylist() == ["whole"] * 5
    assert plan.info.files == 5


def test_small_tables_share_mini_batches_and_enough_of_them_for_many_slots():
    plan = build_plan(table([72_000] * 20_000), input_format="table")
    assert 100 <= plan.mini_batches <= 200
    assert build_plan(table([10] * 1000), input_format="table").mini_batches >= 32
    assert build_plan(table([40 << 20] * 48, "{}.parquet"), input_format="table").mini_batches == 48
    assert build_plan(table([1 << 20]), input_format="table").mini_batches == 1


def test_the_target_never_falls_as_the_input_grows():
    targets = [target_for(1 << n) for n in range(50)]
    assert targets == sorted(targets)


@given(st.lists(st.tuples(st.sampled_from(["csv", "jsonl", "csv.gz", "txt"]), st.integers(0, 400)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_byte_of_every_file_belongs_to_one_split(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("cover")
    for n, (ending, size) in enumerate(made):
        (folder / f"{n:03d}.{ending}").write_bytes((b"abcdefg\n" * 60)[:size])
    files = list_inputs([str(folder)]) if made else table([])
    plan = build_plan(
        files, input_format="table", target_bytes=100, text_split_from=150, text_range_bytes=64, parquet_split_from=1
    )
    rows = plan.table.to_pylist()
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    assert {row["file"] for row in rows} == set(range(files.num_rows))
    for file in range(files.num_rows):
        splits = [row for row in rows if row["file"] == file]
        if len(splits) == 1:
            assert splits[0]["cut"] == "whole"
            continue
        assert splits[0]["start"] == 0
        assert splits[-1]["stop"] == splits[0]["size"]
        assert all(one["stop"] == other["start"] for one, other in itertools.pairwise(splits))
        assert all(split["stop"] > split["start"] for split in splits)
    batches = [row["mini_batch"] for row in rows]
    assert sorted(set(batches)) == list(range(plan.mini_batches))
    assert batches == sorted(batches)


def test_large_parquet_files_are_cut_by_row_groups_and_unreadable_ones_are_one_split(tmp_path):
    data = pa.table({"x": np.random.default_rng(0).random(10_000)})
    pq.write_table(data, tmp_path / "a.parquet", row_group_size=1000)
    (tmp_path / "b.parquet").write_bytes(b"x" * 100_000)
    pq.write_table(data, tmp_path / "c.parquet", row_group_size=10_000)
    plan = build_plan(
        list_inputs([str(tmp_path)]), input_format="table", target_bytes=20_000, parquet_split_from=30_000
    )
    rows = plan.table.to_pylist()
    cut = [(row["start"], row["stop"]) for row in rows if row["path"].endswith("a.parquet")]
    assert cut[0][0] == 0
    assert cut[-1][1] == 10
    assert all(one[1] == other[0] for one, other in itertools.pairwise(cut))
    assert len(cut) > 3
    assert [row["cut"] for row in rows if not row["path"].endswith("a.parquet")] == ["whole", "whole"]


def test_the_host_may_run_the_scans_elsewhere(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'x,y\n1,"a\nb"\n' * 100)
    asked: list[ScanRequest] = []

    def elsewhere(requests):
        asked.extend(requests)
        return [run_scan(request) for request in requests]

    files = list_inputs([str(tmp_path)])
    there = build_plan(files, input_format="table", text_split_from=100, text_range_bytes=100, scan=elsewhere)
    here = build_plan(files, input_format="table", text_split_from=100, text_range_bytes=100)
    assert asked
    assert there.table == here.table
    assert len(here) == len(asked)


def test_a_file_that_cannot_be_scanned_is_one_split():
    plan = build_plan(table([10**9]), input_format="table")
    assert plan.table.column("cut").to_pylist() == ["whole"]


def test_names_tell_formats_one_by_one_and_all_at_once():
    expected = {
        "a.CSV": "csv",
        "b.tsv.gz": "tsv.gz",
        "c.ndjson": "jsonl",
        "d.JSON.ZST": "json.zst",
        "e.parquet": "parquet",
        "e.parquet.gz": "unknown",
        "f.feather": "arrow",
        "g.JPEG": "image",
        "h.csv.bak": "unknown",
        "i": "unknown",
        "csv": "unknown",
        "new\nline.csv": "csv",
        "x.csv\n": "unknown",
    }
    assert {name: format_of(f"/x/{name}") for name in expected} == expected
    column = pa.chunked_array([[f"/x/{name}" for name in expected], []], pa.string())
    assert formats_of(column).to_pylist() == list(expected.values())
