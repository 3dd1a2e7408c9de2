"""The files through which clients and the host of a compute meet: ``hosts/<compute>/<user>/``.

::

    e<N>.json             host life (epoch) N began; created once, by the process that became it
    e<N>-heartbeat.json   that host lives; replaced every few seconds; says "running", "draining" or "stopping"
    launch-<N>-<k>.json   somebody is starting a process for epoch N, k-th try; created once
    host-<N>-<k>.log      what that process says; in the scratch folder if the workspace is remote
    inbox/<job>           a job for this compute; created by clients, removed when the job has ended
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil

from dask_batch.jobfolder.folder import now
from dask_batch.storage import Storage, join

__all__ = ["HostFolder", "ProcessId"]

_CLOCK = "clock-"
_UNFINISHED_FOR = timedelta(hours=1)
_EPOCHS_KEPT = 3
_LOGS_KEPT = 50


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, named so that another process that reuses its number is not taken for it.

    Parameters
    ----------
    machine : str
        Host name and boot id.
    pid : int
        Process id on that machine.
    started : float
        When it started, seconds since the epoch.
    """

    machine: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> ProcessId:
        """Return the id of a process on this machine (default: this one)."""
        process = psutil.Process(pid)
        return cls(_machine(), process.pid, process.create_time())

    def here(self) -> bool:
        """Return whether the process is, or was, on this machine."""
        return self.machine == _machine()

    def alive(self) -> bool:
        """Return whether the process still runs; only meaningful on its own machine (`here`)."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def to_json(self) -> dict[str, Any]:
        """Return the id as a record."""
        return {"machine": self.machine, "pid": self.pid, "started": self.started}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ProcessId:
        """Return the id that `to_json` described."""
        return cls(record["machine"], record["pid"], record["started"])


def _machine() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:
        boot = str(int(psutil.boot_time()))
    # Containers share a boot id and have their own process numbers, hence the namespace.
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{boot}/{namespace}"


class HostFolder:
    """The meeting place of one compute's host and its clients, for one user.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    compute, user : str
        Whose host.
    """

    def __init__(self, storage: Storage, compute: str, user: str) -> None:
        self.storage = storage
        self.compute = compute
        self.user = user
        self.name = join("hosts", compute, user)

    def path(self, *parts: str) -> str:
        """Return the name, within the storage, of a file in this folder."""
        return join(self.name, *parts)

    # -- epochs --------------------------------------------------------------------------------------------------

    def epoch(self) -> int:
        """Return the highest epoch that began, 0 if none did."""
        return max(self._numbers(r"e(\d+)\.json"), default=0)

    def begin_epoch(self, epoch: int, record: dict[str, Any]) -> bool:
        """Become the host of `epoch`; return False if another process did."""
        return self.storage.create_json(self.path(f"e{epoch}.json"), record)

    def epoch_record(self, epoch: int) -> dict[str, Any] | None:
        """Return what the host of `epoch` wrote when it began."""
        document: dict[str, Any] | None = self.storage.find_json(self.path(f"e{epoch}.json"))
        return document

    # -- heartbeat -----------------------------------------------------------------------------------------------

    def beat(self, epoch: int, state: str, **details: Any) -> None:
        """Say that the host of `epoch` lives; `state` is ``"running"``, ``"draining"`` or ``"stopping"``."""
        self.storage.put_json(self.path(f"e{epoch}-heartbeat.json"), {"state": state, "at": now(), **details})

    def heartbeat(self, epoch: int) -> dict[str, Any] | None:
        """Return the last heartbeat of `epoch`, with ``age_s``: its age by the storage's own clock."""
        name = self.path(f"e{epoch}-heartbeat.json")
        record: dict[str, Any] | None = self.storage.find_json(name)
        if record is None:
            return None
        return record | {"age_s": self.age_s(name)}

    def age_s(self, name: str) -> float:
        """Return the seconds since the storage wrote `name`, measured against a file written now."""
        probe = self.path(f"{_CLOCK}{secrets.token_hex(4)}")
        self.storage.put(probe, b"")
        try:
            return (self.storage.modified(probe) - self.storage.modified(name)).total_seconds()
        finally:
            self.storage.remove(probe)

    # -- launches ------------------------------------------------------------------------------------------------

    def launches(self, epoch: int) -> int:
        """Return how many launches of `epoch` were begun."""
        return max(self._numbers(rf"launch-{epoch}-(\d+)\.json"), default=0)

    def begin_launch(self, epoch: int, attempt: int, record: dict[str, Any]) -> bool:
        """Claim the `attempt`-th launch of `epoch`; return False if somebody else has it."""
        return self.storage.create_json(self.path(f"launch-{epoch}-{attempt}.json"), record)

    def note_launch(self, epoch: int, attempt: int, record: dict[str, Any]) -> None:
        """Say which process or scheduler job the claimed launch became."""
        self.storage.put_json(self.path(f"launch-{epoch}-{attempt}.json"), record)

    def launch(self, epoch: int, attempt: int) -> dict[str, Any] | None:
        """Return what is known of a launch."""
        document: dict[str, Any] | None = self.storage.find_json(self.path(f"launch-{epoch}-{attempt}.json"))
        return document

    # -- inbox ---------------------------------------------------------------------------------------------------

    def post(self, job: str) -> None:
        """Put a job into the inbox; it may be there already."""
        self.storage.create_json(self.path("inbox", job), {"at": now()})

    def inbox(self) -> list[str]:
        """Return the names of the jobs in the inbox, oldest first by name."""
        return self.storage.list(self.path("inbox"))

    def remove(self, job: str) -> None:
        """Take a job that has ended out of the inbox."""
        self.storage.remove(self.path("inbox", job))

    def forget_before(self, epoch: int) -> None:
        """Remove the files of epochs that are long over, all but the last few, and what dead processes left."""
        for name in self.storage.list(self.name):
            match = re.fullmatch(r"(e|launch-|host-)(\d+)(?:-.*)?\.(?:json|log)", name)
            # Logs tell people what became of their jobs, and are kept for longer.
            if match and int(match[2]) < epoch - (_LOGS_KEPT if match[1] == "host-" else _EPOCHS_KEPT):
                self.storage.remove(self.path(name))
        self._forget_unfinished(epoch)

    def _forget_unfinished(self, epoch: int) -> None:
        """Remove what processes left that were killed over writing a file or looking at the storage's clock.

        Younger ones may be of processes at work, who would miss them.
        """
        begun = self.storage.modified(self.path(f"e{epoch}.json"))
        left = [name for name in self.storage.list(self.name) if name.startswith(_CLOCK)]
        left += [join(folder, name) for folder in ("", "inbox") for name in self.storage.unfinished(self.path(folder))]
        for name in left:
            with contextlib.suppress(FileNotFoundError):  # its owner was at work after all
                if begun - self.storage.modified(self.path(name)) > _UNFINISHED_FOR:
                    self.storage.remove(self.path(name))

    def _numbers(self, pattern: str) -> list[int]:
        found = (re.fullmatch(pattern, name) for name in self.storage.list(self.name))
        return [int(match[1]) for match in found if match]
