"""A private PostgreSQL server for tests: started here, reachable by this user alone, gone afterwards.

It listens on a Unix socket in a 0700 folder and on no network. It dies with the process that started it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

START_S = 60.0
STOP_S = 30.0
PORT = 5432  # part of the socket's name only


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `folder` holds the socket; connections are for user ``postgres``, without a password."""

    folder: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}&port={PORT}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits each statement."""
        return psycopg.connect(
            host=str(self.folder), port=PORT, user="postgres", dbname=database, autocommit=True, connect_timeout=10
        )

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server, and stop it and remove all its files at the end, whatever happens in between.

    Needs the Debian package ``postgresql``, which is installed if it is missing and this process is root's.
    """
    with open(__file__) as this:
        fcntl.flock(this, fcntl.LOCK_EX)  # tests run side by side, and apt-get only alone
        binaries = find_binaries()
    # Directly below /tmp: a socket's path is short, and the server's user can reach it.
    folder = Path(tempfile.mkdtemp(prefix="dask-batch-pg-", dir="/tmp"))
    process = None
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        initialize(binaries, folder)
        process = start(binaries, folder)
        server = PostgresServer(folder, process.pid)
        wait_until_ready(server, process)
        yield server
    finally:
        if process is not None:
            stop(process)
        shutil.rmtree(folder)


def find_binaries() -> Path:
    """Return the folder of the newest server's programs; install the server if there is none."""
    found = installed_binaries()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        found = installed_binaries()
    if found is None:
        raise RuntimeError("there is no PostgreSQL server on this machine: apt-get install postgresql")
    return found


def installed_binaries() -> Path | None:
    """Return the folder of the newest installed server's programs."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if folders:
        return max(folders, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def initialize(binaries: Path, folder: Path) -> None:
    """Create the server's files."""
    command = [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
    done = subprocess.run(
        [*as_server_user(), *command, "--locale=C.UTF-8"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{done.stdout}")


def start(binaries: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start the server and return its process."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "port": str(PORT),
        "max_connections": "200",
        "shared_buffers": "32MB",
        "fsync": "off",  # the machine may crash, the files are of no use then
    }
    command = [*as_server_user(), binaries / "postgres", "-D", folder / "data"]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        # Its own group, so that Ctrl-C in a terminal reaches the tests first.
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)


def as_server_user() -> list[str]:
    """Return what goes before a command: it ends with this process, and it is not root's, which the server refuses."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        command += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return [*command, "--"]


def wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.connect().close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log}") from error
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server, gently at first."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(how)
        try:
            process.wait(STOP_S)
            return
        except subprocess.TimeoutExpired:
            continue
