"""Where a host and its instances meet: a folder of one epoch on the shared file system, for its owner alone.

::

    host.json          the scheduler's address, and the workspace's root
    cert.pem key.pem   made for this epoch; who does not have them cannot connect
    <job>-<id>.log     what each instance says
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from distributed import Security

__all__ = ["Meeting"]

_EPOCHS_KEPT = 3
_LOGS_KEPT = 50
_TAIL_BYTES = 4096


class Meeting:
    """The folder of one epoch.

    Parameters
    ----------
    folder : str
        As `dask_batch.compute.slurm.folders.meeting_folder` says.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def prepare(self) -> Security:
        """Make the folder with certificates of its own, which are returned; remove those of epochs long over."""
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.folder.chmod(0o700)  # Whatever the umask was when somebody made it.
        made = Security.temporary()
        _write(self.folder / "cert.pem", str(made.tls_ca_file))
        _write(self.folder / "key.pem", str(made.tls_worker_key))
        self._forget_old()
        return self.security()

    def security(self) -> Security:
        """Return the certificates, for any role."""
        cert, key = str(self.folder / "cert.pem"), str(self.folder / "key.pem")
        roles = {f"tls_{role}_{kind}": path for role in ("client", "scheduler", "worker")
                 for kind, path in (("cert", cert), ("key", key))}  # fmt: skip
        return Security(require_encryption=True, tls_ca_file=cert, **roles)

    def announce(self, address: str, root: str) -> None:
        """Say where the scheduler is."""
        _write(self.folder / "host.json", json.dumps({"address": address, "root": root}))

    def find_host(self) -> dict[str, Any]:
        """Return what the host announced.

        Raises
        ------
        OSError
            It cannot be read from here.
        """
        record: dict[str, Any] = json.loads((self.folder / "host.json").read_text())
        return record

    def output(self, name: str, number: str) -> tuple[Path, str | None]:
        """Return the path of what an instance says, and its end; None if it said nothing: it never started."""
        path = self.folder / f"{name}-{number}.log"
        try:
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - _TAIL_BYTES))
                return path, file.read().decode(errors="replace").strip()
        except OSError:
            return path, None

    def leave(self) -> None:
        """Make the certificates worthless by removing them; the logs stay."""
        for name in ("key.pem", "cert.pem", "host.json"):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def _forget_old(self) -> None:
        epoch = int(self.folder.name[1:])
        for other in self.folder.parent.glob("e*"):
            if other.name[1:].isdigit() and int(other.name[1:]) < epoch - _EPOCHS_KEPT:
                shutil.rmtree(other, ignore_errors=True)
        for log in self.folder.parent.glob("*-host-*.log"):
            match = re.search(r"-e(\d+)-host-\d+\.log$", log.name)
            if match and int(match[1]) < epoch - _LOGS_KEPT:
                log.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
