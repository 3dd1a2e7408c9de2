"""MLflow models on images: each file becomes an array, and arrays of one shape are predicted together."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dask_batch.scoring.attempts import ChunkFailed, solve
from dask_batch.scoring.mlflow_model import MlflowModel
from dask_batch.scoring.reading import ReadLane
from dask_batch.scoring.records import Verdict, error_record
from dask_batch.scoring.scorer import Load, Place, Request
from dask_batch.scoring.sink import Sink
from dask_batch.scoring.tables.faults import Unreadable, cannot_be_scored, is_hiccup
from dask_batch.scoring.tables.prefetch import Prefetched
from dask_batch.scoring.tables.results import columns_of
from dask_batch.scoring.tables.sources import read_small

if TYPE_CHECKING:
    import numpy.typing as npt

    _Array = npt.NDArray[Any]

__all__ = ["ImageScorer", "NoPillow", "decode_image", "fit_shape"]

_STACK_BYTES = 64 << 20
_STACK_IMAGES = 256
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class NoPillow(ImportError):
    """Pillow, which decodes images, is not installed in the deployment's environment."""


class ImageScorer:
    """An MLflow model with a tensor signature (or none) that gets images.

    Parameters
    ----------
    load : Load
        The deployment.
    place : Place
        Where it works.
    """

    def __init__(self, load: Load, place: Place) -> None:
        _pillow()
        self.place = place
        with place.guard.loading():
            self._model = MlflowModel(load.model_path or "")
        self._description = self._model.describe(load.check_packages)
        tensor = (self._model.signature or {}).get("tensor") or {"dtype": "uint8", "shape": None}
        self._dtype, self._shape = np.dtype(tensor["dtype"]), tensor["shape"]

    def description(self) -> dict[str, Any]:
        """Return what the ``loaded`` message says of the model."""
        return self._description

    def score(self, request: Request, sink: Sink) -> None:
        """Score a chunk: a row per prediction, one image an item."""
        batch = _MiniBatch(self, request, sink, request.first)
        lane = ReadLane(self.place.cell, request.first)
        with Prefetched(self._read(request, lane), _size_of, request.settings.prefetch_bytes, lane.waiting) as images:
            for image in images:
                if image is None:
                    batch.finish()
                    batch = _MiniBatch(self, request, sink, batch.mini_batch + 1)
                else:
                    batch.add(image)

    def shutdown(self) -> None:
        """A model has nothing to tidy up."""

    def predict(self, arrays: list[_Array], mini_batch: int, items: tuple[int, int]) -> pa.Table:
        """Return the predictions for images of one shape, as columns with a row per image."""
        with self.place.guard.running(mini_batch, *items):
            return columns_of(self._model.predict_array(np.stack(arrays)), len(arrays))

    def _read(self, request: Request, lane: ReadLane) -> Iterator[_Image | None]:
        lo, hi = request.items or (0, None)
        for mini_batch, splits in enumerate(request.mini_batches, request.first):
            for item, split in list(enumerate(splits))[lo:hi]:
                if "skip" in split:
                    yield _Image(item, split, None, Verdict(split["skip"]))
                    continue
                lane.at(mini_batch, split["split"], split["split"] + 1)
                try:
                    array = decode_image(read_small({**split, "format": "image"}), self._dtype, self._shape)
                    yield _Image(item, split, array, None)
                except Exception as error:
                    if is_hiccup(error):
                        reason = f"reading {split['path']!r} failed: {error}"
                        raise ChunkFailed(reason, stage="read", transient=True) from error
                    yield _Image(item, split, None, error)
            yield None


def decode_image(data: bytes, dtype: np.dtype[Any], shape: list[int] | None) -> _Array:
    """Return an image as the array that a model gets for one item.

    Parameters
    ----------
    data : bytes
        A PNG, JPEG, TIFF, BMP or GIF file (of an animation: the first picture).
    dtype : numpy.dtype
        The tensor's; values stay 0 to 255.
    shape : list of int, optional
        The tensor's, items first, -1 for any; its last (or second) dimension of 1, 3 or 4 says the channels.

    Raises
    ------
    Unreadable
        It is no image, or has another size.
    """
    if not data:
        raise Unreadable("it is empty.")
    image_module = _pillow()
    try:
        with image_module.open(io.BytesIO(data)) as image:
            channels = _channels(shape)
            if channels in _MODES:
                image = image.convert(_MODES[channels])  # noqa: PLW2901
            elif image.mode in ("P", "PA", "CMYK", "YCbCr"):  # stored as indices or inks
                image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")  # noqa: PLW2901
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise Unreadable(f"it cannot be decoded as an image; is it truncated? {error}") from error
    return fit_shape(pixels.astype(dtype, copy=False), shape)


def fit_shape(pixels: _Array, shape: list[int] | None) -> _Array:
    """Return pixels in the layout of a tensor's shape; raises Unreadable if they have another size.

    Examples
    --------
    >>> fit_shape(np.zeros((4, 5, 3)), [-1, 3, -1, -1]).shape, fit_shape(np.zeros((4, 5)), [-1, -1, -1, 1]).shape
    ((3, 4, 5), (4, 5, 1))
    """
    if shape is None or len(shape) < 2:
        return pixels
    want = shape[1:]
    if len(want) == 3:
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if want[2] not in _MODES and want[0] in _MODES:
            pixels = pixels.transpose(2, 0, 1)
    if pixels.ndim == len(want) and all(n in (-1, m) for n, m in zip(want, pixels.shape)):
        return pixels
    # Flat, or with another number of axes of length 1. Anything else would scramble the pixels: another orientation.
    long = _long_axes(want)
    same = len(long) <= 1 or long == _long_axes(pixels.shape)
    if same and all(n > 0 for n in want) and pixels.size == int(np.prod(want)):
        return pixels.reshape(want)
    raise Unreadable(f"the image has shape {pixels.shape}, and the model needs {tuple(want)} (-1: any).")


def _long_axes(shape: Sequence[int]) -> list[int]:
    return [n for n in shape if n != 1]


@dataclass(frozen=True)
class _Image:
    item: int
    split: dict[str, Any]
    array: _Array | None
    error: Exception | None


def _size_of(image: _Image | None) -> int:
    return int(image.array.nbytes) if image is not None and image.array is not None else 0


def _told(image: _Image) -> Exception:
    """Return why an image cannot be scored, for people."""
    if isinstance(image.error, Verdict):
        return image.error
    error = image.error if isinstance(image.error, Unreadable) else Unreadable(f"it cannot be read: {image.error}.")
    return cannot_be_scored(image.split["path"].rpartition("/")[2], error)


def _channels(shape: list[int] | None) -> int:
    if shape is None or len(shape) < 3:
        return 0
    if len(shape) == 3:
        return 1
    return shape[-1] if shape[-1] in _MODES else shape[1]


def _pillow() -> Any:
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise NoPillow(
            "images need Pillow, which the deployment's environment does not have: pip install 'dask-batch[images]', "
            "or add pillow to its requirements"
        ) from error
    return PIL.Image


@dataclass
class _MiniBatch:
    """One mini-batch on its way through the model."""

    scorer: ImageScorer
    request: Request
    sink: Sink
    mini_batch: int
    stack: list[_Image] = field(default_factory=list)
    calls: int = 0
    seen: int = 0
    succeeded: int = 0
    failed: int = 0
    bytes: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, image: _Image) -> None:
        """Take the next image; predict those before it if it does not fit with them."""
        self.seen += 1
        self.bytes += image.split["bytes"]
        if image.error is not None or image.array is None:
            self._flush()
            self._fail(image, _told(image))
            return
        if self.stack and not self._fits(image.array):
            self._flush()
        self.stack.append(image)

    def finish(self) -> None:
        """Predict what is left, and report the mini-batch as done."""
        self._flush()
        self.sink.finish_mini_batch(
            self.mini_batch,
            items=self.seen,
            succeeded=self.succeeded,
            failed=self.failed,
            attempts=self.calls,
            seconds=time.perf_counter() - self.started,
            bytes=self.bytes,
        )

    def _fits(self, array: _Array) -> bool:
        last = self.stack[-1].array
        if last is None or not self.request.settings.coalesce or array.shape != last.shape:
            return False
        return len(self.stack) < _STACK_IMAGES and (len(self.stack) + 1) * array.nbytes <= _STACK_BYTES

    def _flush(self) -> None:
        stack, self.stack = self.stack, []
        settings = self.request.settings
        call = partial(self._call, stack)
        for solved in solve(0, len(stack), call, max_retries=settings.max_retries, bisect=settings.bisect):
            images = stack[solved.lo : solved.hi]
            if solved.error is not None:
                for image in images:
                    self._fail(image, solved.error, "predict", solved.attempts)
                continue
            self.succeeded += len(images)
            if settings.output_action != "summary_only" and solved.result is not None:
                splits = pa.array([image.split["split"] for image in images], pa.int32())
                table = solved.result.append_column("__split", splits)
                self.sink.rows(table.append_column("__row", pa.array([0] * len(images), pa.int64())))

    def _call(self, stack: list[_Image], lo: int, hi: int) -> pa.Table:
        self.request.check_verdict()
        self.calls += 1
        arrays = [image.array for image in stack[lo:hi] if image.array is not None]
        try:
            return self.scorer.predict(arrays, self.mini_batch, (stack[lo].item, stack[hi - 1].item + 1))
        finally:
            self.scorer.place.outbox.discard()

    def _fail(self, image: _Image, error: BaseException, stage: str = "read", attempts: int = 1) -> None:
        self.failed += 1
        record = error_record(error, stage=stage, file=image.split["path"], mini_batch=self.mini_batch, item=image.item)
        self.sink.fail({**record, "split": image.split["split"], "attempts": attempts}, file=True)
