"""The logs of a job, read back from its folder."""

from __future__ import annotations

import io

from dask_batch.errors import InvalidDefinition
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobs.launch import host_log

__all__ = ["LogTail", "log_names", "read_logs"]

_HOST_LINES = 10_000


def log_names(folder: JobFolder, kind: str = "user") -> list[str]:
    """Return the names of a job's logs: of scoring processes (``"user"``), of its host, or all.

    Raises
    ------
    InvalidDefinition
        The kind is none of these.
    """
    if kind not in ("user", "host", "all"):
        raise InvalidDefinition(f"kind={kind!r} is no kind of log; choose one of user, host, all")
    names = folder.storage.list(folder.path("logs"))
    if kind == "all":
        return names
    return [name for name in names if name.startswith("host") == (kind == "host")]


def read_logs(folder: JobFolder, kind: str = "user", tail: int | None = None, host: HostFolder | None = None) -> str:
    """Return the text of a job's logs, one after the other, each under a line with its name.

    Parameters
    ----------
    folder : JobFolder
        The job.
    kind : str
        ``"user"`` (what user code printed and logged), ``"host"`` or ``"all"``.
    tail : int, optional
        Only the last lines of each.
    host : HostFolder, optional
        Where to find the log of the host that lives now, or lived last.
    """
    texts = []
    for name in log_names(folder, kind):
        text = folder.storage.read(folder.path("logs", name)).decode(errors="replace")
        if tail is not None:
            text = "\n".join(text.splitlines()[-tail:]) if tail else ""
        texts.append(f"==> {folder.url('logs', name)}\n{text.rstrip()}\n")
    if host is not None and kind in ("host", "all"):
        path, text = host_log(host, _HOST_LINES if tail is None else tail)
        if path:
            texts.append(f"==> {path}\n{text}\n")
    return "\n".join(texts)


class LogTail:
    """Follows the user logs of a job.

    Parameters
    ----------
    folder : JobFolder
        The job.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def new_lines(self, *, last: bool = False) -> list[str]:
        """Return the lines that were completed since the last call; with `last`, also an unfinished one."""
        lines: list[str] = []
        for name in log_names(self._folder):
            path = self._folder.path("logs", name)
            start = self._read.get(name, 0)
            if self._folder.storage.size(path) <= start:
                continue
            with self._folder.storage.open_read(path) as file:
                file.seek(start, io.SEEK_SET)
                content = file.read()
            whole = len(content) if last else content.rfind(b"\n") + 1
            self._read[name] = start + whole
            lines += content[:whole].decode(errors="replace").splitlines()
        return lines
