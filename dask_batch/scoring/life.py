"""The life of a scoring process ends with its parent's, whatever hangs, and nothing that it started is left behind."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import os
import resource
import select
import signal
import sys
from types import FrameType

__all__ = ["die_with_parent", "dump_stacks_to", "end", "hide", "ignore_signals", "start_watchdog"]

_PR_SET_PDEATHSIG = 1
_PIDFD_OPEN = 434  # the system call's number, the same on all architectures of today


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends; end now if that is over already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def end(status: int = 1) -> None:
    """End this process at once, with all that belongs to its process group if it leads one."""
    if os.getpgid(0) == os.getpid():
        with contextlib.suppress(OSError):
            os.killpg(0, signal.SIGKILL)
    os._exit(status)


def start_watchdog() -> None:
    """Leave a tiny process behind that kills this one's process group as soon as this one is gone.

    Processes that user code started would outlive a scoring process that crashed, or that the kernel killed when its
    parent died. The watchdog is no child of this process (user code may wait for all of its children) and must be
    started before any thread. Without ``pidfd_open`` (Linux 5.3) there is none.
    """
    if os.getpgid(0) != os.getpid():
        return
    handle = _pidfd_of(os.getpid())
    if handle < 0:
        return
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            _watch(handle)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(handle)


def _pidfd_of(pid: int) -> int:
    """Return a descriptor of a process, or -1: ``os.pidfd_open``, which is younger than Python 3.8."""
    if sys.platform != "linux":
        return -1
    return int(ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_OPEN, pid, 0))


def _watch(handle: int) -> None:
    kept = os.dup2(handle, 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.closerange(4, 4096)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    waiter = select.poll()
    waiter.register(kept, select.POLLIN)
    waiter.poll()
    os.killpg(0, signal.SIGKILL)


def ignore_signals() -> None:
    """Survive SIGTERM and SIGINT, which schedulers send to everything; processes of user code do not inherit that.

    The handlers do nothing, rather than being SIG_IGN: that would be passed on through ``exec``, and a program that
    user code starts could not be terminated by it. Forks get the default handlers; until they have them the signals
    wait, so that none is lost.
    """
    for number in _IGNORED:
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_default_signals)


_IGNORED = (signal.SIGTERM, signal.SIGINT)
_masks: list[set[int]] = []


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal by going on."""


def _hold_signals() -> None:
    _masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)))


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop())


def _default_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _release_signals()


def dump_stacks_to(path: str) -> None:
    """Write the stacks of all threads to the file on SIGUSR2, and on a crash.

    The C-level handler needs no interpreter lock, so it works while C code hangs. The file is opened for appending
    and kept open: who wants the next dump alone truncates the file (or notes its size) before sending the signal.
    """
    file = open(path, "ab", buffering=0)  # noqa: SIM115  (kept open for the process's life)
    faulthandler.register(signal.SIGUSR2, file=file, all_threads=True, chain=False)
    faulthandler.enable(file=file, all_threads=True)
    _kept.append(file)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


_kept: list[object] = []


def hide(handle: int) -> int:
    """Move a descriptor to a high number, not inherited by programs that user code starts, and return it.

    User code that closes or reuses low descriptors does not hit it.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = 900 if soft == resource.RLIM_INFINITY else max(10, min(900, soft - 24))
    hidden = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(handle)
    return hidden
