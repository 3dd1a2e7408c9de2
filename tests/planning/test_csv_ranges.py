from __future__ import annotations

import csv
import io
import itertools

import fsspec
import hypothesis.strategies as st
from hypothesis import example, given, settings

from dask_batch.planning import csv_ranges
from dask_batch.planning.csv_ranges import cut_points, fold, scan_bytes, scan_range

CELLS = st.text(alphabet='ab",\n\r ', max_size=6)


def machine(data: bytes, delimiter: int = ord(",")) -> set[int]:
    """Where records begin, by the state machine of the readers, a byte at a time: the yardstick."""
    state, starts = "start", set()
    for at, byte in enumerate(data):
        if state == "quoted":
            state = "quote" if byte == 0x22 else "quoted"
        elif byte == 0x22 and state in ("start", "quote"):
            state = "quoted"
        elif byte in (delimiter, 0x0A, 0x0D):
            state = "start"
            if byte == 0x0A:
                starts.add(at + 1)
        else:
            state = "field"
    return starts


def cuts_of(data: bytes, bounds: list[int]) -> list[int]:
    scans = []
    for start, stop in itertools.pairwise(bounds):
        quotes = len(data[stop:]) - len(data[stop:].lstrip(b'"')) if data[:stop].endswith(b'"') else 0
        before = data[start - 1 : start] if start else b"\n"
        scans.append(scan_bytes(data[start : stop + quotes], start, stop, before=before))
    return fold(scans)


def records(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.text(alphabet='ab",\n\r', max_size=60), st.data())
@example('"a\n""b"\n"c,\n"\n', None)
@settings(max_examples=600, deadline=None)
def test_every_cut_of_any_text_is_where_a_record_begins(text, data):
    raw = text.encode()
    inner = [] if data is None else data.draw(st.lists(st.integers(1, max(1, len(raw) - 1)), max_size=8))
    bounds = sorted({0, len(raw), *(n for n in inner if n < len(raw))}) if raw else [0, 0]
    found = cuts_of(raw, bounds)
    starts = machine(raw)
    assert found == sorted(set(found))
    assert set(found) <= starts
    # A range in which a record begins after its own start is not skipped.
    for start, stop in list(itertools.pairwise(bounds))[1:]:
        first = min((n for n in starts if start < n <= stop and n < len(raw)), default=None)
        assert first is None or first in found


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=12), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_the_pieces_of_any_csv_hold_the_records_of_the_whole(rows, step):
    sink = io.StringIO(newline="")
    csv.writer(sink, lineterminator="\n").writerows(rows)
    raw = sink.getvalue().encode()
    cuts = [0, *cuts_of(raw, [start for start, _ in cut_points(len(raw), step)] + [len(raw)]), len(raw)]
    pieces = [raw[lo:hi].decode() for lo, hi in itertools.pairwise(cuts)]
    assert [row for piece in pieces for row in records(piece)] == records(raw.decode())


@given(st.text(alphabet='a",\n', max_size=200), st.integers(1, 30), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_reading_a_range_in_blocks_changes_nothing(text, block, cut):
    raw = text.encode()
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/ranges.csv", raw)
    cut = min(cut, len(raw))
    bounds = sorted({0, cut, len(raw)})
    before, csv_ranges._BLOCK = csv_ranges._BLOCK, block
    try:
        pairs = itertools.pairwise(bounds)
        found = fold([scan_range("memory:///ranges.csv", lo, hi) for lo, hi in pairs])
    finally:
        csv_ranges._BLOCK = before
    assert found == (cuts_of(raw, bounds) if len(bounds) > 1 else [])


def test_a_quote_within_an_unquoted_field_is_nothing_special():
    raw = b'1,5" pipe\n2,6" pipe\n3,x\n'
    assert cuts_of(raw, [0, 4, 12, len(raw)]) == [10, 20]


def test_a_byte_order_mark_hides_no_quote():
    raw = b'\xef\xbb\xbf"a\nb",c\n1,2\n3,4\n'
    assert cuts_of(raw, [0, 6, len(raw)]) == [11]


def test_in_json_lines_every_newline_ends_a_record(tmp_path):
    raw = b'{"a":"\\""}\n' * 100
    (tmp_path / "x.jsonl").write_bytes(raw)
    ranges = cut_points(len(raw), 150)
    cuts = fold([scan_range(str(tmp_path / "x.jsonl"), lo, hi, quoting=False) for lo, hi in ranges])
    assert len(cuts) == len(ranges) - 1
    assert all(cut % 11 == 0 for cut in cuts)


def test_a_file_without_ends_of_records_is_not_cut():
    assert cuts_of(b'"' + b"a\n" * 50, [0, 20, 40, 101]) == []
