"""One scoring process from outside: start it, talk to it, watch it, kill it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dask_batch import settings
from dask_batch.scoring.cell import LOAD, READ, RUN, Cell
from dask_batch.slots.family import family_memory, family_of, resident_memory
from dask_batch.slots.interpreter import Interpreter

__all__ = ["Died", "Limits", "ScoringProcess"]

_TICK_S = 0.1
_FAMILY_EVERY = 5
_STACK_WAIT_S = 0.3

_Lane = tuple[int, int, int, int, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scoring process may use before it is killed.

    Parameters
    ----------
    timeout_s : float
        For one call of user code, consuming what it returns included.
    read_timeout_s : float
        For reading one file, or piece of one, while the scoring waits for it.
    load_timeout_s : float
        For loading a deployment.
    memory_bytes : int, optional
        Resident memory; None: no limit.
    """

    timeout_s: float
    read_timeout_s: float
    load_timeout_s: float
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Died:
    """A scoring process is gone, and what it was doing.

    Parameters
    ----------
    cause : str
        ``"timeout"``, ``"read_timeout"``, ``"load_timeout"``, ``"memory"``, ``"crash"`` or ``"canceled"``.
    message : str
        What happened, as a sentence.
    stage : str
        ``"load"``, ``"read"``, ``"predict"`` or ``"write"``.
    mini_batch : int, optional
        The mini-batch it was at; None where none can be suspected.
    items : tuple of (int, int or None), optional
        The items of that mini-batch in the call it died in.
    stack : str
        Where it hung or crashed, as far as known.
    output : str
        The end of what it printed before it wrote to a job's log.
    """

    cause: str
    message: str
    stage: str
    mini_batch: int | None
    items: tuple[int, int | None] | None
    stack: str
    output: str = ""


class ScoringProcess:
    """A process that holds one deployment's model and runs its code.

    The thread that creates it must live as long as the process does: the kernel kills a child whose parent *thread*
    ends (PR_SET_PDEATHSIG).

    Parameters
    ----------
    interpreter : Interpreter
        The Python it runs on.
    scratch : pathlib.Path
        A private folder, created here and removed at the end.
    environment : dict of str to str
        Its whole environment.
    """

    def __init__(self, interpreter: Interpreter, scratch: Path, environment: dict[str, str]) -> None:
        self.scratch = scratch
        self.log: Path = scratch / "start.log"
        scratch.mkdir(parents=True, mode=0o700)
        self._cell = Cell(str(scratch / "cell"), create=True)
        to_child, self._in = os.pipe()
        self._out, from_child = os.pipe()
        os.set_blocking(self._in, False)
        command = [interpreter.executable, "-m", "dask_batch.scoring"]
        command += ["--in", str(to_child), "--out", str(from_child), "--cell", str(scratch / "cell")]
        command += ["--scratch", str(scratch), "--parent", str(os.getpid())]
        try:
            with self.log.open("ab") as log:
                self._popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=scratch,
                    env=environment,
                    pass_fds=(to_child, from_child),
                    start_new_session=True,
                )
        except OSError:
            os.close(self._in)
            os.close(self._out)
            self._cell.close()
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        finally:
            os.close(to_child)
            os.close(from_child)
        self._buffer = b""

    def alive(self) -> bool:
        """Return whether it has not ended."""
        return self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def ask(
        self, message: dict[str, Any], limits: Limits, canceled: Callable[[], bool] = lambda: False
    ) -> dict[str, Any] | Died:
        """Send a message and return the answer, or how the process died.

        Parameters
        ----------
        message : dict
            A message of the scoring protocol.
        limits : Limits
            What it may use; past them it is killed.
        canceled : callable
            Asked several times a second; True kills the process.
        """
        pending = json.dumps(message).encode() + b"\n"
        while True:
            writable = [self._in] if pending else []
            readable, ready, _ = select.select([self._out], writable, [], _TICK_S)
            if ready:
                pending = self._send(pending)
            if readable:
                answer = self._receive()
                if answer is not None:
                    return answer
                if self._ended:
                    return self._crashed()
            elif not ready:
                cause = "canceled" if canceled() else self._overstepped(limits)
                if cause:
                    return self._put_down(cause, limits)

    _ended = False
    _looks = 0

    def _send(self, pending: bytes) -> bytes:
        try:
            return pending[os.write(self._in, pending[:65536]) :]
        except BlockingIOError:
            return pending
        except BrokenPipeError:
            return b""  # its end of the other pipe says the rest

    def _receive(self) -> dict[str, Any] | None:
        data = os.read(self._out, 1 << 16)
        if not data:
            self._ended = True
            return None
        self._buffer += data
        if b"\n" not in data:
            return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    # -- watching ------------------------------------------------------------------------------------------------

    def _overstepped(self, limits: Limits) -> str | None:
        """Return which limit the process is past, if any."""
        now = time.monotonic()
        phase, _, _, _, started = self._cell.read("main")
        if phase == RUN and now - started > limits.timeout_s:
            return "timeout"
        if phase == LOAD and now - started > limits.load_timeout_s:
            return "load_timeout"
        phase, _, _, _, started = self._cell.read("read")
        if phase == READ and now - started > limits.read_timeout_s:
            return "read_timeout"
        if limits.memory_bytes is not None and self._too_large(limits.memory_bytes):
            return "memory"
        trim_log(self.log, settings.log_limit_bytes())
        return None

    def _too_large(self, limit_bytes: int) -> bool:
        """Return whether the process uses too much memory; those that it started are looked up now and then only."""
        self._looks += 1
        if self._looks % _FAMILY_EVERY:
            return resident_memory(self.pid) > limit_bytes
        return family_memory(self.pid, limit_bytes) > limit_bytes

    def _put_down(self, cause: str, limits: Limits) -> Died:
        """Note where the process hangs, then kill it."""
        said = {
            "timeout": f"run() took longer than the timeout of {limits.timeout_s:g} s",
            "load_timeout": f"it took longer than the load_timeout of {limits.load_timeout_s:g} s",
            "read_timeout": f"reading took longer than the read_timeout of {limits.read_timeout_s:g} s",
            "memory": (
                f"the scoring process used {family_memory(self.pid, 0) >> 20} MiB, processes that it started "
                f"included, more than its slot's share of {(limits.memory_bytes or 0) >> 20} MiB"
            ),
            "canceled": "the job was canceled",
        }[cause]
        # What it is doing is noted first: the signal may end the very call that hangs.
        lanes = self._cell.read("main"), self._cell.read("read")
        stack = self.scratch / "stack.txt"
        size = stack.stat().st_size if stack.exists() else 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR2)
        deadline = time.monotonic() + (_STACK_WAIT_S if cause != "canceled" else 0)
        while time.monotonic() < deadline and not (stack.exists() and stack.stat().st_size > size):
            time.sleep(0.02)
        return self._bury(cause, said, lanes)

    def _crashed(self) -> Died:
        """Say how the process ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(2.0)  # its pipe closed, so it is about to end
        return self._bury(
            "crash", _how_it_ended(self._popen.poll()), (self._cell.read("main"), self._cell.read("read"))
        )

    def _bury(self, cause: str, said: str, lanes: tuple[_Lane, _Lane]) -> Died:
        """Kill what is left of the process and its children, and return how it died."""
        text, output = (_end_of(self.scratch / name) for name in ("stack.txt", "start.log"))
        self.kill()
        return replace(_died(cause, said, text, *lanes), output=output)

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self, timeout_s: float = 5.0) -> None:
        """Let the process run its ``shutdown()`` and end; kill it if it takes longer than `timeout_s`."""
        with contextlib.suppress(OSError):
            os.write(self._in, b'{"op":"close"}\n')
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Kill the process with everything that it started, and remove its folder."""
        # Those that made a session of their own are not in its group.
        family = family_of(self.pid) if self._popen.returncode is None else []
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family[1:]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        if self._in >= 0:
            os.close(self._in)
            os.close(self._out)
            self._in = self._out = -1
            self._cell.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def trim_log(log: Path, limit_bytes: int) -> None:
    """Cut the middle out of a log that has grown past its limit: its first half and what comes next remain."""
    try:
        size = log.stat().st_size
        if size <= limit_bytes:
            return
        keep = limit_bytes // 2
        os.truncate(log, keep)
        with log.open("ab") as file:
            file.write(f"\n[… {size - keep:,} bytes left out here: the log reached its limit …]\n".encode())
    except FileNotFoundError:
        pass


def _end_of(file: Path) -> str:
    return file.read_text(errors="replace")[-6000:].strip() if file.exists() else ""


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "the scoring process closed its pipe"
    if status >= 0:
        return f"the scoring process ended by itself with exit status {status}"
    name = signal.Signals(-status).name
    more = " (perhaps the kernel ran out of memory)" if name == "SIGKILL" else ""
    return f"the scoring process was killed by {name}{more}"


def _died(cause: str, said: str, stack: str, main: _Lane, read: _Lane) -> Died:
    """Conclude what the process was doing from the two lanes of its progress cell."""
    phase, mini_batch, lo, hi, _ = main
    if phase == LOAD:
        return Died(cause, f"{said}, while it loaded", "load", None, None, stack)
    if phase == RUN and cause != "read_timeout":
        return Died(cause, said, "predict", mini_batch, (lo, None if hi < 0 else hi), stack)
    if read[0] == READ:
        return Died(
            cause, f"{said}, while it read", "read", read[1], (read[2], read[3]) if read[3] >= 0 else None, stack
        )
    return Died(cause, said, "write", None, None, stack)
