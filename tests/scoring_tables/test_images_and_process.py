"""Images through a model with a tensor signature; and tables through a scoring process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dask_batch.scoring.cell import Cell
from dask_batch.scoring.images import ImageScorer, decode_image, fit_shape
from dask_batch.scoring.tables.faults import Unreadable

MEANS = """
def predict(array, params):
    return np.column_stack([array.mean(axis=(1, 2, 3)), np.full(len(array), len(array))])
"""


def picture(shade: int, size: tuple[int, int] = (5, 4), kind: str = "PNG", mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size, shade if mode in "LP" else (shade,) * len(mode)).save(sink, kind)
    return sink.getvalue()


@pytest.fixture
def means(pyfunc) -> Path:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return pyfunc(MEANS, ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, 3))])))


def test_images_of_one_shape_are_predicted_together_and_bad_ones_fail_alone(drive, means, write, split):
    files = [
        write("1.png", picture(10)),
        write("2.bmp", picture(20, kind="BMP")),
        write("3.gif", picture(30, kind="GIF", mode="L")),
        write("4.png", picture(40, size=(9, 9))),
        write("5.png", b"no image"),
        write("6.png", b""),
        write("7.tiff", picture(70, kind="TIFF")),
    ]
    driver = drive(means, scorer=ImageScorer)
    assert driver.scorer.description()["signature"]["tensor"] == {"dtype": "uint8", "shape": [-1, -1, -1, 3]}
    scored = driver.score(files)
    assert scored.column("prediction_0") == [10, 20, 30, 40, 70]
    assert scored.column("prediction_1") == [3, 3, 3, 1, 1]
    assert scored.rows() == [(0, 0), (1, 0), (2, 0), (3, 0), (6, 0)]
    assert [error["split"] for error in scored.errors] == [4, 5]
    assert "5.png cannot be scored: it cannot be decoded" in scored.errors[0]["message"]
    assert scored.counts["failed_files"] == 2
    assert driver.score(files[:3], items=(1, 2)).rows() == [(1, 0)]
    assert driver.score(files[:2], coalesce=False).column("prediction_1") == [1, 1]


def test_an_image_that_the_model_refuses_is_isolated(drive, pyfunc, write):
    code = "def predict(array, params):\n    assert not (array == 66).any()\n    return list(range(len(array)))\n"
    files = [write(f"{n}.png", picture(n)) for n in (65, 66, 67)]
    scored = drive(pyfunc(code), scorer=ImageScorer).score(files)
    assert [(error["split"], error["stage"]) for error in scored.errors] == [(1, "predict")]
    assert scored.rows() == [(0, 0), (2, 0)]


def test_pixels_take_the_layout_of_the_tensor():
    grey = decode_image(picture(7, mode="L"), np.dtype("float32"), [-1, 1, 4, 5])
    assert (grey.shape, grey.dtype, grey[0, 0, 0]) == ((1, 4, 5), np.float32, 7)
    assert decode_image(picture(7), np.dtype("uint8"), None).shape == (4, 5, 3)
    assert fit_shape(np.zeros((2, 3)), [-1, 6]).shape == (6,)
    with pytest.raises(Exception, match=r"shape \(4, 5, 3\), and the model needs \(224, 224, 3\)"):
        decode_image(picture(7), np.dtype("uint8"), [-1, 224, 224, 3])


def test_pixels_are_laid_out_anew_only_where_their_order_is_certain():
    pixels = np.arange(60).reshape(4, 5, 3)
    for shape in ([-1, 60], [-1, 60, 1], [-1, 1, 4, 5, 3]):
        assert (fit_shape(pixels, shape).ravel() == pixels.ravel()).all()
    for shape in ([-1, 5, 4, 3], [-1, 20, 3], [-1, 2, 10, 3]):  # another orientation, and others of the same size
        with pytest.raises(Unreadable, match=r"shape \(4, 5, 3\), and the model needs"):
            fit_shape(pixels, shape)


def test_a_scoring_process_scores_tables(adder, write, split, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    Cell(str(scratch / "cell"), create=True).close()
    into_read, into = os.pipe()
    out, out_write = os.pipe()
    command = [sys.executable, "-m", "dask_batch.scoring", "--in", str(into_read), "--out", str(out_write)]
    command += ["--cell", str(scratch / "cell"), "--scratch", str(scratch), "--parent", str(os.getpid())]
    process = subprocess.Popen(command, pass_fds=(into_read, out_write), cwd=scratch, start_new_session=True)
    os.close(into_read)
    os.close(out_write)
    text = split(write("1.csv", "a,b\n1,2\nx,4\n5,6\n"), split=0, file=0)
    score = {"op": "score", "job": "j", "run": 1, "chunk": [0, 1], "mini_batches": [[text | {"bytes": 16}]]}
    score |= {"folder": str(tmp_path / "job"), "attempt": "a", "settings": {"include_inputs": ["a"]}}
    load = {"op": "load", "key": "k", "kind": "mlflow", "input_format": "table", "model_path": str(adder)}
    with os.fdopen(into, "wb", 0) as sender, os.fdopen(out, "rb") as receiver:
        sender.write(json.dumps(load).encode() + b"\n")
        loaded = json.loads(receiver.readline())
        assert loaded["op"] == "loaded", loaded
        assert loaded["description"]["flavor"] == "sklearn"
        sender.write(json.dumps(score).encode() + b"\n")
        scored = json.loads(receiver.readline())
        sender.write(b'{"op":"close"}\n')
        assert process.wait(60) == 0
    assert scored["op"] == "scored", scored
    assert scored["first_error"]["values"] == {"a": "x", "b": "4"}
    with pa.OSFile(str(tmp_path / "job" / scored["part"])) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column("prediction").to_pylist() == pytest.approx([4.0, 16.0])
    assert table.drop_columns("prediction").to_pydict() == {"a": [1.0, 5.0], "__split": [0, 0], "__row": [0, 2]}
