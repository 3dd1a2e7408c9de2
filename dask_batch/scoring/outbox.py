"""The folder behind ``AZUREML_BI_OUTPUT_PATH``: what a call leaves there is taken away before the next call."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

__all__ = ["NoFile", "NotCollected", "Outbox"]


_MAX_FOLDERS = 64


class NotCollected(Exception):
    """What a call left in the folder cannot be output, so its items have failed."""


class NoFile(NotCollected):
    """A call left something that is no file: a link to nothing, a pipe."""


class Outbox:
    """One private folder, with the same path for the process's life.

    Looking into it after each of many calls that leave nothing there costs one ``stat``: after each emptying the
    modification time is set to 0, so any later change shows, however coarse the file system's clock is. Sub-folders
    cost another ``stat`` each. Those that ``init`` made stay; so do those that calls made, unless there are more than
    64 of them: a script may make one for each of a million items.

    Parameters
    ----------
    path : str
        The folder; created.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        self._folders = [path]
        self._of_init = {path}
        self._settle()

    def changed(self) -> bool:
        """Return whether something may be new since the folder was last emptied."""
        try:
            return any(os.stat(folder).st_mtime_ns for folder in self._folders)
        except FileNotFoundError:
            return True

    def files(self) -> list[str]:
        """Return the sorted names of all files in it, relative, sub-folders included."""
        found = []
        for parent, _, names in os.walk(self.path):
            found += [os.path.relpath(os.path.join(parent, name), self.path) for name in names]
        return sorted(found)

    def take(self, name: str, target: str) -> None:
        """Move one file to the path `target`; a symbolic link is replaced by the content of its target.

        Raises
        ------
        NoFile
            It is none, or a link to none; the message says which.
        """
        source = os.path.join(self.path, name)
        _check_file(source, name)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        if os.path.islink(source):
            shutil.copyfile(source, target)
            os.unlink(source)
        else:
            os.replace(source, target)

    def discard(self) -> bool:
        """Remove every file in it; return whether there was any."""
        if not self.changed():
            return False
        names = self.files()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.path, name))
        self._settle()
        return bool(names)

    def discard_of_init(self) -> str | None:
        """Remove the files that ``init()`` left, but no folders; return a warning that says so, if there were any."""
        names = self.files()
        self._of_init = {parent for parent, _, _ in os.walk(self.path)}
        self.discard()
        if not names:
            return None
        more = " and others" if len(names) > 1 else ""
        return (
            f"init() left files in AZUREML_BI_OUTPUT_PATH ({names[0]!r}{more}); they are dropped, and so is what is "
            "written to them later: only what run() opens and closes there is output"
        )

    def settle(self) -> None:
        """Call this after taking files: from now on only new ones count."""
        self._settle()

    def _settle(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        folders = [parent for parent, _, _ in os.walk(self.path)]
        if len(folders) > len(self._of_init) + _MAX_FOLDERS:
            for folder in reversed(folders):  # sub-folders first
                if folder not in self._of_init:
                    with contextlib.suppress(OSError):  # it is not empty
                        os.rmdir(folder)
            folders = [parent for parent, _, _ in os.walk(self.path)]
        for folder in folders:
            os.utime(folder, ns=(0, 0))
        self._folders = folders


def _check_file(path: str, name: str) -> None:
    if os.path.islink(path):
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise NoFile(
                f"{name!r} in AZUREML_BI_OUTPUT_PATH is a link to {os.readlink(path)!r}, which is no file that can be "
                "read: write the file itself there, or link to one that exists"
            )
    elif not stat.S_ISREG(os.lstat(path).st_mode):
        raise NoFile(f"{name!r} in AZUREML_BI_OUTPUT_PATH is no file but a pipe, socket or device: write a file there")
