"""Who holds a lock on a file, as far as this machine can tell."""

from __future__ import annotations

from pathlib import Path

__all__ = ["lock_holders", "parse_locks"]


def parse_locks(text: str, inode: int) -> list[int]:
    """Return the ids of the processes that hold locks on `inode`, from the text of ``/proc/locks``.

    Parameters
    ----------
    text : str
        A lock a line: number, kind, mode, access, process, ``device:device:inode``, range. See proc_locks(5).
    inode : int
        Of the file.

    Examples
    --------
    >>> parse_locks("1: POSIX  ADVISORY  WRITE 71 fd:00:12 100 109\\n2: -> POSIX  ADVISORY  READ 72 fd:00:12 0 0", 12)
    [71]
    """
    pids = set()
    for line in text.splitlines():
        words = line.split()
        # "->" marks one who waits.
        if len(words) >= 6 and words[1] != "->" and words[5].rpartition(":")[2] == str(inode) and words[4].isdigit():
            pids.add(int(words[4]))
    return sorted(pids - {0})


def lock_holders(path: Path) -> list[str]:
    """Return the processes of this machine that hold locks on `path`, such as ``"process 71 (python fit.py)"``.

    Empty if there are none, if another machine holds the lock, or if the system does not tell.
    """
    try:
        pids = parse_locks(Path("/proc/locks").read_text(), path.stat().st_ino)
    except OSError:
        return []
    return [f"process {pid}{_command(pid)}" for pid in pids]


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    command = " ".join(words).strip()
    return f" ({command[:60]})" if command else ""
