"""Finding the host of a compute, and starting one where none lives.

Whoever wants a host claims the next launch of the next epoch (create-if-absent) and starts a detached process, or
submits a SLURM job. While that starts, nobody else starts one; and should two start after all, only one of them can
become the epoch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dask_batch import settings
from dask_batch.compute.slurm.hostjob import awaited, host_arguments, submit_host
from dask_batch.errors import HostFailed, SlurmError
from dask_batch.hostfolder import HostFolder, ProcessId
from dask_batch.jobfolder.folder import now
from dask_batch.jobs.refused import fail_waiting_jobs
from dask_batch.specs.compute import Compute
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.storage import Storage, join

__all__ = ["MOST_STARTS", "STALE_S", "HostView", "ensure_host", "host_log", "keeps_failing", "look"]

STALE_S = 20.0
"""A host whose last heartbeat is older than this is taken for gone."""

MOST_STARTS = 3
"""Hosts in a row that bring a job no further; then somebody has to mend something."""

_REST_S = 60.0  # between launches that fail, for those who just look
_CLAIM_S = 30.0  # for the launcher, between claiming a launch and noting its process
_START_S = 120.0  # for the process, between its start and its epoch
_DRAINING_S = 30.0
_MOST_REFUSED_S = 60.0
_POLL_S = 0.1
_ROUNDS = 10
_LOG_BYTES = 1 << 20
_LOGS_BACK = 3


@dataclass(frozen=True, slots=True)
class HostView:
    """What can be seen of a compute's host.

    Parameters
    ----------
    state : str
        ``"running"``: it lives. ``"draining"``: it lives, takes nothing more up and ends within seconds.
        ``"launching"``: its process was started and has not begun its epoch. ``"absent"``: none of that.
    epoch : int
        The highest epoch that began, 0 if none did.
    attempts : int
        How many launches of the next epoch were claimed.
    why : str
        Why it is still launching, in the cluster's own words.
    refused : bool
        Whether the cluster has refused it, and is asked again after a while.
    here : bool
        Whether it was refused for want of the cluster's commands on the machine that asked.
    """

    state: Literal["running", "draining", "launching", "absent"]
    epoch: int
    attempts: int
    why: str = ""
    refused: bool = False
    here: bool = False

    @property
    def alive(self) -> bool:
        """Whether it lives, even if it is about to end."""
        return self.state in ("running", "draining")


def look(folder: HostFolder) -> HostView:
    """Return what can be seen of a host, without changing anything."""
    epoch = folder.epoch()
    if epoch and (lives := _lives(folder, epoch)):
        return HostView(lives, epoch, 0)
    attempts = folder.launches(epoch + 1)
    if attempts and (view := _pending(folder, epoch + 1, attempts)):
        return view
    # A job of SLURM's may be requeued: then the host comes back by itself.
    job = ((folder.epoch_record(epoch) if epoch else None) or {}).get("slurm")
    if job and not _says_stopping(folder, epoch) and (why := awaited(folder, job)):
        return HostView("launching", epoch, attempts, why)
    return HostView("absent", epoch, attempts)


def ensure_host(storage: Storage, compute: Compute, user: str) -> HostView:
    """Start the host of a compute unless one lives or is being started; return at once.

    Where one is about to end, its end is waited for, some seconds: it would not see what was posted meanwhile.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    compute : LocalCompute or SlurmCompute
        The compute whose host is wanted.
    user : str
        Whose host; it must be the one who calls.

    Returns
    -------
    HostView
        ``state`` is ``"running"`` or ``"launching"``; or ``"absent"``, where SLURM refuses it for good: then the jobs
        in its inbox have failed with SLURM's words.

    Raises
    ------
    HostFailed
        The process could not be started.
    """
    folder = HostFolder(storage, compute.name, user)
    for _ in range(_ROUNDS):
        view = _look_past_draining(folder)
        if view.state != "absent":
            return view
        epoch, attempt = view.epoch + 1, view.attempts + 1
        record = {"compute": compute.to_stored(), "by": ProcessId.of().to_json(), "at": now()}
        if folder.begin_launch(epoch, attempt, record):
            if isinstance(compute, SlurmCompute) and compute.host == "job":
                return _submit(folder, compute, epoch, attempt, record)
            pid = _start(folder, epoch, attempt)
            folder.note_launch(
                epoch, attempt, record | {"process": _identify(pid), "log": _log_path(folder, epoch, attempt)}
            )
            return HostView("launching", view.epoch, attempt)
    raise HostFailed(
        f"compute {compute.name!r}: others keep starting its host and none stays; look at {host_log(folder)[0]!r}"
    )


def keeps_failing(folder: HostFolder) -> bool:
    """Return whether the last launches, whoever began them, all ended before their epoch began, not long ago."""
    epoch = folder.epoch() + 1
    last = folder.launches(epoch)
    records = [folder.launch(epoch, attempt) or {} for attempt in range(last - MOST_STARTS + 1, last + 1)]
    if last < MOST_STARTS or any("refused" in record for record in records):
        return False
    return folder.age_s(folder.path(f"launch-{epoch}-{last}.json")) < _REST_S


def _submit(folder: HostFolder, compute: SlurmCompute, epoch: int, attempt: int, record: dict[str, Any]) -> HostView:
    try:
        job = submit_host(folder, compute, epoch, attempt)
    except SlurmError as error:
        lasting = error.permanent and not error.here  # jobs of whoever just looks, from a desk, do not fail for it
        folder.note_launch(epoch, attempt, record | {"refused": str(error), "permanent": lasting})
        if not lasting:
            return HostView("launching", epoch - 1, attempt, str(error), refused=True, here=error.here)
        fail_waiting_jobs(folder, str(error))
        return HostView("absent", epoch - 1, attempt)
    folder.note_launch(epoch, attempt, record | job)
    return HostView("launching", epoch - 1, attempt)


def _look_past_draining(folder: HostFolder) -> HostView:
    deadline = time.monotonic() + _DRAINING_S
    while (view := look(folder)).state == "draining" and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return view


def host_log(folder: HostFolder, lines: int = 30) -> tuple[str, str]:
    """Return the path of the newest log of a host, and its last lines; two empty strings if there is none."""
    epoch = folder.epoch()
    # A job of SLURM that was requeued goes on with the log of an epoch before.
    for number in range(epoch + 1, max(epoch - _LOGS_BACK, 0), -1):
        attempt = folder.launches(number)
        record = folder.launch(number, attempt) if attempt else None
        path = (record or {}).get("log") or _log_path(folder, number, max(attempt, 1))
        if os.path.exists(path):
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - _LOG_BYTES))
                text = file.read().decode(errors="replace")
            return path, "\n".join(text.strip().splitlines()[-lines:])
    return "", ""


def _lives(folder: HostFolder, epoch: int) -> Literal["running", "draining"] | None:
    """Return how the host of an epoch lives, if it beats and its process is not known to be dead."""
    name = folder.path(f"e{epoch}-heartbeat.json")
    record = folder.storage.find_json(name)
    if record is None:
        # It has begun its epoch and not yet beaten.
        name = folder.path(f"e{epoch}.json")
        record = folder.storage.find_json(name)
    if record is None or record.get("state") == "stopping" or not _fresh(folder, name, record, STALE_S):
        return None
    return "draining" if record.get("state") == "draining" else "running"


def _says_stopping(folder: HostFolder, epoch: int) -> bool:
    return (folder.heartbeat(epoch) or {}).get("state") == "stopping"


def _pending(folder: HostFolder, epoch: int, attempt: int) -> HostView | None:
    """Return the host of a launch that may still come, or None."""
    record = folder.launch(epoch, attempt)
    if record is None:
        return None
    name = folder.path(f"launch-{epoch}-{attempt}.json")
    if "slurm" in record:
        why = awaited(folder, record["slurm"])
        return HostView("launching", epoch - 1, attempt, why) if why else None
    if "refused" in record:
        waits = not record["permanent"] and folder.age_s(name) < min(_MOST_REFUSED_S, 2.0**attempt)
        return HostView("launching", epoch - 1, attempt, record["refused"], refused=True) if waits else None
    if "process" in record:
        fresh = _fresh(folder, name, record, _START_S)
    else:
        fresh = _fresh(folder, name, record | {"process": record["by"]}, _CLAIM_S)
    return HostView("launching", epoch - 1, attempt) if fresh else None


def _fresh(folder: HostFolder, name: str, record: dict[str, Any], limit_s: float) -> bool:
    """Return whether the process of a record lives, as far as can be told, and the record is not too old."""
    process = ProcessId.from_json(record["process"]) if record.get("process") else None
    if process is not None and process.here():
        if not process.alive():
            return False
        if record.get("at"):  # written on this machine, so by this clock
            return (datetime.now(UTC) - datetime.fromisoformat(record["at"])).total_seconds() < limit_s
    try:
        return folder.age_s(name) < limit_s
    except FileNotFoundError:
        return False


def _start(folder: HostFolder, epoch: int, attempt: int) -> int:
    """Start a host process that outlives this one, and return its process id."""
    log = _log_path(folder, epoch, attempt)
    command = [sys.executable, "-m", "dask_batch.host", *host_arguments(folder, epoch, attempt)]
    os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    except OSError as error:
        raise HostFailed(f"the host of compute {folder.compute!r} could not be started: {error}") from error
    finally:
        os.close(output)
    # Somebody has to take note of its end, or it would stay in the process table as long as this process lives.
    threading.Thread(target=process.wait, name=f"host-{process.pid}", daemon=True).start()
    return process.pid


def _identify(pid: int) -> dict[str, Any]:
    import psutil

    try:
        return ProcessId.of(pid).to_json()
    except psutil.NoSuchProcess:  # it has ended already
        return ProcessId(ProcessId.of().machine, pid, 0.0).to_json()


def _log_path(folder: HostFolder, epoch: int, attempt: int) -> str:
    name = f"host-{epoch}-{attempt}.log"
    if folder.storage.is_local:
        return folder.storage.url(folder.path(name))
    safe = "".join(c if c.isalnum() else "_" for c in folder.storage.root)
    return join(str(Path(settings.scratch_folder()) / "hosts" / safe), folder.compute, folder.user, name)
