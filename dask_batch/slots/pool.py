"""The slots of one instance: scoring processes kept warm, handed out by deployment, and ended when idle."""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dask_batch import settings
from dask_batch.scoring.transient import is_storage_trouble
from dask_batch.slots.deployments import Loadable
from dask_batch.slots.joblogs import JobLogs
from dask_batch.slots.process import Died, Limits, ScoringProcess
from dask_batch.specs.job import DeploymentSnapshot
from dask_batch.specs.scoring_settings import ScoringSettings
from dask_batch.storage import Storage

__all__ = ["Slots"]

# Formats that cannot be read piece by piece.
_HELD_WHOLE = frozenset({"json", "image"})
_TICK_S = 0.1
_KEEPER_TICK_S = 0.5
_BURIAL_S = 5.0


@dataclass
class _Warm:
    """A scoring process with a deployment in it."""

    process: ScoringProcess
    key: str
    slot: int
    description: dict[str, Any] = field(default_factory=dict)
    idle_since: float = 0.0


class Slots:
    """Room for some scoring processes, for any deployments.

    Parameters
    ----------
    storage : Storage
        The workspace's storage.
    count : int
        How many processes may run at once.
    name : str
        The instance's name, used in logs.
    memory_bytes : int, optional
        What all of them together may use; each is killed at its share (0.9 of an even part).
    scratch : Path, optional
        The folder of what processes write while they run; of one machine's processes alone, since it is swept of what
        dead ones left. None: in the scratch folder.
    """

    def __init__(
        self, storage: Storage, count: int, *, name: str, memory_bytes: int | None = None, scratch: Path | None = None
    ) -> None:
        self.storage = storage
        self.count = count
        self.name = name
        self._share = None if memory_bytes is None else int(memory_bytes * 0.9 / count)
        shared = scratch or settings.scratch_folder() / "processes"
        self._scratch = shared / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._logs = JobLogs(storage, self._scratch / "logs", name)
        self._lock = threading.Condition()
        self._free = list(range(count - 1, -1, -1))
        self._idle: list[_Warm] = []
        self._ahead: dict[str, bool] = {}
        """Deployments that are being loaded ahead, and whether a chunk waits for each already."""
        self._canceled: set[str] = set()
        self._closing = threading.Event()
        self._closed = threading.Event()
        _sweep(self._scratch.parent)
        # Processes die with the thread that started them, so one thread lives as long as this object and starts all.
        self._wanted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._keeper = threading.Thread(target=self._keep, name=f"slots-{name}", daemon=True)
        self._keeper.start()

    def __enter__(self) -> Slots:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what an instance is asked -------------------------------------------------------------------------------

    def score(self, task: dict[str, Any]) -> dict[str, Any]:
        """Score one chunk and return the outcome, a small record.

        Parameters
        ----------
        task : dict
            ``deployment`` (the snapshot's record), ``scoring`` (the effective settings' record), ``gate`` (a token
            that changes when the job is canceled), and ``message``: the protocol's ``score`` message.

        Returns
        -------
        dict
            ``result`` is ``"scored"`` (with the protocol's answer), ``"failed"`` or ``"load_failed"`` (with
            ``error``), ``"died"`` (with `Died`'s fields), or ``"canceled"``.
        """
        job = task["message"]["job"]
        loadable = Loadable(
            DeploymentSnapshot.from_stored(task["deployment"]), ScoringSettings.from_stored(task["scoring"])
        )
        limits = _limits(loadable.settings, self._share)
        started = time.monotonic()
        warm = self._take(loadable, job, task["gate"])
        if isinstance(warm, dict):
            return warm
        if self._share is not None:
            pass_over_too_large(task["message"]["mini_batches"], self._share)
        answer = self._ask(warm, task["message"], limits, task["gate"])
        self._logs.publish()
        outcome = self._outcome(warm, answer)
        return outcome | {"instance": self.name, "slot_seconds": time.monotonic() - started, "pid": warm.process.pid}

    def prepare(self, loadable: Loadable, job: str, gate: str) -> None:
        """Load a deployment ahead of its first chunk, which waits for it rather than load it a second time."""
        with self._lock:
            slot = self._free.pop() if self._free else None
            if slot is None:
                return
            self._ahead[loadable.key] = False
        try:
            warm = self._load(loadable, slot, job, gate)
            if isinstance(warm, _Warm):
                self._give_back(warm)
        finally:
            with self._lock:
                del self._ahead[loadable.key]
                self._lock.notify_all()

    def describe(self, loadable: Loadable) -> dict[str, Any]:
        """Load a deployment and return ``result`` ``"loaded"`` with its description, or ``"load_failed"``."""
        warm = self._take(loadable, None, "")
        if isinstance(warm, dict):
            return warm
        self._give_back(warm)
        return {"result": "loaded", "description": warm.description}

    def cancel(self, gate: str) -> None:
        """Kill whatever works behind a gate, and let nothing more through it."""
        self._canceled.add(gate)

    def close(self) -> None:
        """End all processes; those that still work are killed."""
        self._closing.set()
        with self._lock:
            idle, self._idle = self._idle, []
        with ThreadPoolExecutor(max(1, len(idle))) as together:
            list(together.map(lambda warm: warm.process.close(), idle))
        for warm in idle:
            self._free_slot(warm.slot)
        with self._lock:
            # Whoever asks a process sees soon that this closes, and kills it; until then it may write files.
            self._lock.wait_for(lambda: len(self._free) == self.count, _BURIAL_S)
        # Only now: the processes die with the thread that started them.
        self._closed.set()
        self._keeper.join(10)
        self._logs.publish(all_now=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        _sweep(self._scratch.parent)

    # -- taking and giving back ----------------------------------------------------------------------------------

    def _take(self, loadable: Loadable, job: str | None, gate: str) -> _Warm | dict[str, Any]:
        """Return a process with the deployment loaded, or the outcome that says why there is none."""
        slot = self._claim(loadable.key, gate)
        if slot is None:
            return {"result": "canceled"}
        return slot if isinstance(slot, _Warm) else self._load(loadable, slot, job, gate)

    def _load(self, loadable: Loadable, slot: int, job: str | None, gate: str) -> _Warm | dict[str, Any]:
        """Return a new process with the deployment loaded, or the outcome that says why there is none."""
        try:
            message = loadable.load_message(self.storage)
            warm = self._start(loadable, slot, job)
        except Exception as error:  # noqa: BLE001 - clients of stores raise errors of any type
            self._free_slot(slot)
            record = {"stage": "load", "type": type(error).__name__, "message": str(error), "traceback": ""}
            storage = is_storage_trouble(error, network=True)
            return {"result": "load_failed", "error": record | {"storage": storage}, "instance": self.name}
        limits = _limits(loadable.settings, self._share)
        answer = self._ask(warm, message | self._log_of(warm, job), limits, gate)
        if isinstance(answer, dict) and answer["op"] == "loaded":
            warm.description = answer["description"] | {"seconds": answer["seconds"]}
            return warm
        if isinstance(answer, dict):
            self._bury(warm)
            return {"result": "load_failed", "error": answer["error"], "instance": self.name}
        self._bury(warm)
        return _load_failed(answer) | {"instance": self.name}

    def _claim(self, key: str, gate: str) -> _Warm | int | None:
        """Return an idle process with the deployment, or a free slot; None if the gate closes or this object does.

        The process that has been idle longest makes room if need be. All may be at work even so: a model that is
        loaded ahead of its first chunk takes a slot too, and is taken over here once it is there.
        """
        mine = False
        with self._lock:
            while gate not in self._canceled and not self._closing.is_set():
                self._bury_dead()
                for n, warm in enumerate(self._idle):
                    if warm.key == key:
                        return self._idle.pop(n)
                # One chunk waits for what is loaded ahead; the next ones load the deployment in slots of their own.
                mine = key in self._ahead and (mine or not self._ahead[key])
                if mine:
                    self._ahead[key] = True
                elif self._free:
                    return self._free.pop()
                elif self._idle:
                    oldest = self._idle.pop(0)
                    break
                self._lock.wait(_TICK_S)
            else:
                return None
        oldest.process.close()
        return oldest.slot

    def _bury_dead(self) -> None:
        """Drop idle processes that have ended by themselves: nothing that comes is to be blamed for it."""
        for warm in [warm for warm in self._idle if not warm.process.alive()]:
            self._idle.remove(warm)
            warm.process.kill()
            self._free.append(warm.slot)

    def _start(self, loadable: Loadable, slot: int, job: str | None) -> _Warm:
        interpreter = loadable.interpreter()
        environment = loadable.environment(interpreter, _gpu_of_slot(slot))
        scratch = self._scratch / secrets.token_hex(6)
        started: Future[ScoringProcess] = Future()

        def start() -> None:
            try:
                started.set_result(ScoringProcess(interpreter, scratch, environment))
            except BaseException as error:  # noqa: BLE001  (raised again by the waiting thread)
                started.set_exception(error)

        self._wanted.put(start)
        return _Warm(started.result(), loadable.key, slot)

    def _log_of(self, warm: _Warm, job: str | None) -> dict[str, Any]:
        if job is None:
            return {}
        warm.process.log = self._logs.path(job, warm.process.pid)
        return {"log": str(warm.process.log)}

    def _ask(self, warm: _Warm, message: dict[str, Any], limits: Limits, gate: str) -> dict[str, Any] | Died:
        if message["op"] == "score":
            message = message | self._log_of(warm, message["job"])
        return warm.process.ask(message, limits, lambda: gate in self._canceled or self._closing.is_set())

    def _outcome(self, warm: _Warm, answer: dict[str, Any] | Died) -> dict[str, Any]:
        if isinstance(answer, Died):
            self._bury(warm)
            if answer.cause == "canceled":
                return {"result": "canceled"}
            return {
                "result": "died",
                "cause": answer.cause,
                "message": answer.message,
                "stage": answer.stage,
                "mini_batch": answer.mini_batch,
                "items": answer.items,
                "stack": answer.stack,
            }
        self._give_back(warm)
        return {"result": answer["op"], **{name: value for name, value in answer.items() if name != "op"}}

    def _give_back(self, warm: _Warm) -> None:
        warm.idle_since = time.monotonic()
        with self._lock:
            closing = self._closing.is_set()
            if not closing:
                self._idle.append(warm)
                self._lock.notify_all()
        if closing:
            warm.process.close()
            self._free_slot(warm.slot)

    def _bury(self, warm: _Warm) -> None:
        warm.process.kill()
        self._free_slot(warm.slot)

    def _free_slot(self, slot: int) -> None:
        with self._lock:
            self._free.append(slot)
            self._lock.notify_all()

    # -- the keeper ----------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Start processes when asked, and end those that have idled out."""
        while not self._closed.is_set() or not self._wanted.empty():
            try:
                self._wanted.get(timeout=_KEEPER_TICK_S)()
            except queue.Empty:
                self._end_idle(settings.process_idle_s())
                self._logs.publish()

    def _end_idle(self, after_s: float) -> None:
        limit = time.monotonic() - after_s
        with self._lock:
            over = [warm for warm in self._idle if warm.idle_since < limit]
            self._idle = [warm for warm in self._idle if warm.idle_since >= limit]
        for warm in over:
            warm.process.close()
            self._free_slot(warm.slot)


def _load_failed(died: Died) -> dict[str, Any]:
    """Return the outcome for a process that died before a deployment was loaded in it."""
    if died.cause == "canceled":
        return {"result": "canceled"}
    message = died.message if died.stage == "load" else f"{died.message}, before it could load anything"
    said = "\n".join(text for text in (died.output, died.stack) if text)
    error = {"stage": "load", "type": "ProcessDied", "message": message, "traceback": said}
    return {"result": "load_failed", "error": error}


def pass_over_too_large(mini_batches: list[list[dict[str, Any]]], share_bytes: int) -> None:
    """Mark the files that are held whole while they are read, and are larger than a slot's share of memory.

    Parameters
    ----------
    mini_batches : list of list of dict
        The splits of a chunk; those too large get ``skip``, the error record that they fail with, and compressed ones
        ``most_bytes``.
    share_bytes : int
        What one scoring process may use.
    """
    for split in (split for mini_batch in mini_batches for split in mini_batch):
        kind, _, packed = split["format"].partition(".")
        if kind in _HELD_WHOLE and packed:
            split["most_bytes"] = share_bytes  # what it unpacks to is seen while it is read
        if kind in _HELD_WHOLE and split["size"] > share_bytes:
            split["skip"] = {
                "stage": "read",
                "type": "TooLarge",
                "message": (
                    f"{split['path']} has {split['size'] >> 20} MiB and is held whole while it is read, but a slot "
                    f"has {share_bytes >> 20} MiB; write it as .jsonl or .parquet, or give the compute fewer slots"
                ),
                "traceback": "",
            }


def _limits(settings: ScoringSettings, share_bytes: int | None) -> Limits:
    return Limits(settings.timeout, settings.read_timeout, settings.load_timeout, share_bytes)


def _gpu_of_slot(slot: int) -> str | None:
    """Return the GPU for a slot, from those this instance was given; none for slots past them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not given:
        return None
    gpus = given.split(",")
    return gpus[slot] if slot < len(gpus) else ""


def _sweep(folder: Path) -> None:
    """Remove the folders that instances left which were killed."""
    for left in folder.glob("*-*"):
        pid = left.name.split("-")[0]
        if pid.isdigit() and _is_dead(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_dead(pid: int) -> bool:
    """Return whether a process has ended, also if its parent has not taken note of it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
