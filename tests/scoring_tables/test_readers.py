"""Properties of reading: however an input is cut, the same rows come out."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_batch.scoring.tables import readers
from dask_batch.scoring.tables.blocks import Block
from dask_batch.scoring.tables.columns import Wanted
from dask_batch.scoring.tables.readers import read_splits
from dask_batch.scoring.tables.records import ends_quoted, last_record_end, record_pieces
from dask_batch.scoring.tables.slices import Slice, cut_slices

WANTED = Wanted(model=("n", "s"), types={"n": pa.float64(), "s": pa.string()}, carried=("n", "s"))
HEADER = b"n,s\n"

numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), st.just(""), st.just("wrong"))
texts = st.text(st.sampled_from('ab ",\n\t5ü'), max_size=6)
records = st.tuples(numbers, texts, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "", "", ",1"]))


def _line(record: tuple[str, str, str, str]) -> bytes:
    number, text, end, more = record
    if any(c in text for c in '",\n') or not text:
        text = '"' + text.replace('"', '""') + '"'
    return f"{number},{text}{more}{end}".encode()


def _split(path: Path, **more) -> dict:
    size = path.stat().st_size
    split = {"split": 0, "file": 0, "path": str(path), "size": size, "version": "", "format": "csv", "cut": "whole"}
    return split | {"start": None, "stop": None, "bytes": size} | more


def _rows(pieces) -> list:
    """Return every row, a failed one as its message."""
    rows: list = []
    for piece in pieces:
        block = piece.block if isinstance(piece, Slice) else piece
        assert isinstance(block, Block), getattr(block, "error", None)
        good = iter(block.table.to_pylist())
        bad = {fault.position: fault.message for fault in block.faults}
        rows += [bad[n] if n in bad else next(good) for n in range(len(block))]
    return rows


@given(st.lists(records, max_size=12), st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_cut_of_a_csv_between_records_gives_the_same_rows(tmp_path, lines, data):
    encoded = [_line(line) for line in lines]
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + b"".join(encoded))
    ends = [len(HEADER)]
    for line in encoded:
        ends.append(ends[-1] + len(line))
    inner = st.lists(st.sampled_from(ends), max_size=4, unique=True)
    cuts = sorted({0, *data.draw(inner), ends[-1]})
    ranges = [_split(path, cut="bytes", start=a, stop=b) for a, b in itertools.pairwise(cuts)]
    whole = _rows(read_splits([_split(path)], WANTED, 4))
    assert len(whole) == len(lines)
    assert _rows(read_splits(ranges, WANTED, 4)) == whole


@given(st.lists(st.lists(records, max_size=5), max_size=5), st.integers(1, 7), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_files_read_together_give_the_rows_that_each_gives_alone(tmp_path, files, batch_rows, coalesce):
    splits = []
    for n, lines in enumerate(files):
        path = tmp_path / f"{n}.csv"
        path.write_bytes(HEADER + b"".join(map(_line, lines)))
        splits.append(_split(path, split=n, file=n))
    alone = [row for split in splits for row in _rows(read_splits([split], WANTED, 4))]
    slices = list(cut_slices(read_splits(splits, WANTED, 4), batch_rows, coalesce=coalesce))
    assert _rows(slices) == alone
    assert all(len(piece.block) <= batch_rows for piece in slices)
    first = 0
    for piece in slices:
        assert piece.first == first
        first += len(piece.block)


def test_small_files_whose_header_is_quoted_are_parsed_together(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.csv").write_bytes(b'"n","s"\n%d,x\n' % n)
    splits = [_split(tmp_path / f"{n}.csv", split=n, file=n) for n in range(3)]
    blocks = list(read_splits(splits, WANTED, 4))
    assert [[(span.split["split"], span.rows) for span in block.spans] for block in blocks] == [
        [(0, 1), (1, 1), (2, 1)]
    ]
    assert _rows(blocks) == [{"n": float(n), "s": "x"} for n in range(3)]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl"])
def test_a_large_text_comes_in_blocks_and_gives_the_same_rows(tmp_path, monkeypatch, ending):
    import gzip

    if ending == "jsonl":
        content = b"".join(b'{"n": %d, "s": "x%d"}\n' % (n, n) for n in range(5000))
    else:
        content = HEADER + b"".join(b'%d,"x\n%d"\n' % (n, n) for n in range(5000))
    path = tmp_path / f"x.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    split = _split(path, format=ending)
    whole = list(read_splits([split], WANTED, 100))
    monkeypatch.setattr(readers, "_SMALL", 0)
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 2000)
    monkeypatch.setattr(readers, "_PIECE_BYTES", 1000)
    pieces = list(read_splits([split], WANTED, 100))
    assert len(whole) == 1
    assert len(pieces) > 20
    assert _rows(pieces) == _rows(whole)


def test_rows_before_the_break_of_a_large_stream_are_kept(tmp_path, monkeypatch):
    import gzip

    path = tmp_path / "x.csv.gz"
    content = HEADER + b"".join(b"%d,%d\n" % (n, n * 7919 % 10007) for n in range(20000))
    path.write_bytes(gzip.compress(content)[:-2000])
    monkeypatch.setattr(readers, "_SMALL", 0)
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 2000)
    monkeypatch.setattr(readers, "_PIECE_BYTES", 1000)
    *blocks, lost = read_splits([_split(path, format="csv.gz")], WANTED, 100)
    assert lost.after == sum(map(len, blocks)) > 1000


@pytest.mark.parametrize(
    "content",
    [b"n,s\r1,x\r2,y\r", b"n,s\r1,x\n2,y\n", b'n,"s"\r\n1,"x"\r2,y', b'"n",s\r\r\n1,x\r\r\n2,y\r\r\n'],
)
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_a_carriage_return_alone_ends_a_row_as_it_ends_the_header(tmp_path, monkeypatch, content, files, whole):
    if not whole:
        for name in ("_SMALL", "_WHOLE_BYTES"):
            monkeypatch.setattr(readers, name, 0)
        monkeypatch.setattr(readers, "_PIECE_BYTES", 8)
    splits = []
    for n in range(files):
        (tmp_path / f"{n}.csv").write_bytes(content)
        splits.append(_split(tmp_path / f"{n}.csv", split=n, file=n))
    assert _rows(read_splits(splits, WANTED, 4)) == [{"n": 1.0, "s": "x"}, {"n": 2.0, "s": "y"}] * files


@given(st.lists(records, max_size=10), st.integers(1, 9))
def test_pieces_of_a_text_are_whole_records(lines, size):
    content = b"".join(map(_line, lines))
    pieces = list(record_pieces(io.BytesIO(content).read, size, ","))
    assert b"".join(pieces) == content
    ends = {0}
    for line in lines:
        ends.add(max(ends) + len(_line(line)))
    position = 0
    for piece in pieces:
        position += len(piece)
        assert position in ends


@given(st.text(st.sampled_from('a",\n'), max_size=12))
def test_quotes_count_as_a_character_by_character_reading_counts_them(text):
    quoted, starts, end = False, True, 0
    n = 0
    while n < len(text):
        c = text[n]
        if quoted:
            if c == '"' and text[n + 1 : n + 2] == '"':
                n += 1
            elif c == '"':
                quoted, starts = False, False
        elif c == '"' and starts:
            quoted = True
        else:
            starts = c in ",\n"
            end = n + 1 if c == "\n" else end
        n += 1
    if '""' in text.replace('"""', ""):
        return  # runs of quotes outside of quoted fields are beyond what csv says
    assert ends_quoted(text.encode(), ",") == quoted
    assert last_record_end(text.encode(), ",") == end


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_small_files_that_unpack_to_much_come_in_pieces_and_in_order(tmp_path, monkeypatch, form):
    import gzip

    monkeypatch.setattr(readers, "_GROUP_BYTES", 1000)
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 2000)
    monkeypatch.setattr(readers, "_PIECE_BYTES", 500)
    counts = [3, 5000, 4, 50, 50, 50]
    line = b"%d,x\n" if form == "csv" else b'{"n": %d, "s": "x"}\n'
    splits = []
    for n, count in enumerate(counts):
        path = tmp_path / f"{n}.{form}.gz"
        content = (HEADER if form == "csv" else b"") + b"".join(line % (n * 10000 + row) for row in range(count))
        path.write_bytes(gzip.compress(content))
        splits.append(_split(path, split=n, file=n, format=f"{form}.gz"))
    blocks = list(read_splits(splits, WANTED, 100))
    assert [row["n"] for row in _rows(blocks)] == [
        n * 10000.0 + row for n, count in enumerate(counts) for row in range(count)
    ]
    assert max(block.table.nbytes for block in blocks) < 20_000


def test_what_is_held_whole_is_counted_while_it_is_unpacked(tmp_path):
    import gzip

    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b'[{"n": 1, "s": "x"}' + b" " * (40 << 20) + b"]"))
    split = _split(path, format="json.gz")
    assert _rows(read_splits([split | {"most_bytes": 64 << 20}], WANTED, 100)) == [{"n": 1.0, "s": "x"}]
    (lost,) = read_splits([split | {"most_bytes": 16 << 20}], WANTED, 100)
    assert "unpacks to more than the 16 MiB that a slot has" in str(lost.error)
    assert "jsonl" in lost.error.advice


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_it_is_said_which_split_is_read_next(tmp_path, form):
    said = []
    splits = []
    for n in (7, 8):
        (tmp_path / f"{n}.{form}").write_bytes(HEADER + b"1,x\n")
        splits.append(_split(tmp_path / f"{n}.{form}", split=n, file=n, format=form))
    list(read_splits(splits, WANTED, 100, lambda lo, hi: said.append((lo, hi))))
    assert said == [(7, 8), (8, 9)]
