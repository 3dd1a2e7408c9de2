"""A real SLURM on this machine, for tests: a controller and four nodes, started here, gone afterwards.

::

    with slurm_cluster() as cluster:    # SLURM_CONF must be cluster.conf for whatever talks to it
        cluster.down_node(1)

`scripts/slurm-up.sh` says what it has, and installs SLURM if it is missing. Each cluster has ports of its own, so that
tests can run side by side. It goes with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Queued", "SlurmCluster", "slurm_cluster", "without_slurm"]

NODES = 4
_SCRIPTS = Path(__file__).parents[2] / "scripts"
_PORTS = range(24000, 32000, 8)  # below those that systems give away by themselves
_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SRUN_")
# Comes up, and goes down when its input ends: at the end of the tests, or when their process was killed.
_KEEPER = '"$0" || echo failed; read -r _; exec "$1"'


@dataclass(frozen=True)
class Queued:
    """What `squeue` says of a job."""

    id: str
    state: str
    nodes: str
    reason: str
    name: str


@dataclass(frozen=True)
class SlurmCluster:
    """A running SLURM.

    Parameters
    ----------
    root : Path
        The folder of all its files.
    """

    root: Path

    @property
    def conf(self) -> Path:
        """What SLURM_CONF must be for SLURM's commands to reach this cluster."""
        return self.root / "etc" / "slurm.conf"

    def run(self, *command: str, text: str | None = None) -> str:
        """Run one of SLURM's commands and return what it says."""
        environment = without_slurm(os.environ) | {"SLURM_CONF": str(self.conf)}
        environment["PATH"] = f"{environment['PATH']}:/usr/sbin:/sbin"
        done = subprocess.run(command, env=environment, input=text or "", capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def submit(self, script: str, *arguments: str) -> str:
        """Submit a shell script and return the job's id; what it prints is lost, unless `arguments` say otherwise."""
        options = ["--parsable", "--output=/dev/null", *arguments]
        return self.run("sbatch", *options, text=f"#!/bin/bash\n{script}\n")

    def queue(self) -> list[Queued]:
        """Return the jobs that have not ended."""
        lines = self.run("squeue", "--noheader", "--format=%A|%T|%N|%r|%j").splitlines()
        return [Queued(*line.split("|", 4)) for line in lines]

    def state(self, job: str) -> str:
        """Return the state of a job, ``""`` if it has gone."""
        return next((queued.state for queued in self.queue() if queued.id == job), "")

    def cancel(self, *jobs: str) -> None:
        """Cancel these jobs, or all, and wait until they have gone."""
        wanted = list(jobs) or [queued.id for queued in self.queue()]
        if wanted:
            self.run("scancel", *wanted)
        _wait(lambda: not {queued.id for queued in self.queue()} & set(wanted), f"{wanted} canceled")

    def preempt(self) -> str:
        """Take all nodes for a job that goes before those in partition ``low``; returns its id when it runs."""
        job = self.submit("sleep 3600", "-p", "high", f"-N{NODES}", "--exclusive", "-J", "urgent")
        _wait(lambda: self.state(job) == "RUNNING", "others make way for an urgent job")
        return job

    def hurry(self, job: str) -> None:
        """Let a job that was requeued start at once, rather than after the two minutes that SLURM waits."""
        # What still ends its last start would end this one too.
        _wait(lambda: not self.scripts(job), f"the last start of {job} has ended")

        def started() -> bool:
            # As long as its last start is being cleared away, SLURM sets its time anew.
            with contextlib.suppress(AssertionError):
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now")
            return self.state(job) != "PENDING"

        _wait(started, f"{job} starts again")

    def down_node(self, number: int) -> None:
        """Let a node (1 to 4) crash with all that runs on it, and SLURM notice."""
        _kill([self._daemon(f"slurmd-n{number}")])
        while processes := self.processes(f"n{number}"):
            _kill(processes)  # again if some were started meanwhile
        self.run("scontrol", "update", f"NodeName=n{number}", "State=down", "Reason=test")

    def up_node(self, number: int) -> None:
        """Start a node again."""
        if self._daemon(f"slurmd-n{number}") is None:
            self.run("slurmd", "-f", str(self.conf), "-N", f"n{number}")
        self._wait_for_nodes([number])

    def controller_down(self) -> None:
        """End the controller; jobs go on, SLURM's commands fail."""
        daemon = self._daemon("slurmctld")
        if daemon is not None:
            daemon.terminate()
            psutil.wait_procs([daemon], timeout=30)

    def controller_up(self) -> None:
        """Start the controller again, which takes up what it knew."""
        if self._daemon("slurmctld") is None:
            self.run("slurmctld", "-f", str(self.conf))
        _wait(self._controller_answers, "the controller answers")

    @contextlib.contextmanager
    def frozen_controller(self) -> Iterator[None]:
        """Let the controller hang while the block runs: SLURM's commands wait for it."""
        daemon = self._daemon("slurmctld")
        assert daemon is not None
        daemon.suspend()
        try:
            yield
        finally:
            daemon.resume()

    @contextlib.contextmanager
    def configured(self, *lines: str) -> Iterator[None]:
        """Let the controller run with these lines in slurm.conf while the block runs."""
        before = self.conf.read_text()
        try:
            self._restart_controller(before + "".join(f"{line}\n" for line in lines))
            yield
        finally:
            self._restart_controller(before)

    def mend(self) -> None:
        """Bring back everything that was taken down."""
        self.controller_up()
        for number in range(1, NODES + 1):
            self.up_node(number)

    def processes(self, node: str = "") -> list[psutil.Process]:
        """Return the processes of jobs, and those of SLURM that run them; on all nodes or on one (``"n3"``)."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if node in self._nodes_of(process):
                    found.append(process)
        return found

    def scripts(self, job: str) -> list[psutil.Process]:
        """Return the process of a job's script, and those that it has started."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("SLURM_JOB_ID") == job:
                    found.append(process)
        return found

    def check_nothing_left(self, within_s: float = 15.0) -> None:
        """Fail if a job is in the queue or runs, after a while; those that are left are canceled and killed."""
        try:
            _wait(lambda: not self.queue() and not self.processes(), "nothing is left", within_s)
        except AssertionError:
            jobs, processes = self.queue(), [process.as_dict(["pid", "cmdline"]) for process in self.processes()]
            self.cancel()
            _kill(self.processes())
            raise AssertionError(f"left in the queue: {jobs}; left running: {processes}") from None

    def _nodes_of(self, process: psutil.Process) -> tuple[str, ...]:
        """Return where a job's process runs and ``""`` for anywhere; nothing if it is none of this cluster's jobs."""
        if process.status() == psutil.STATUS_ZOMBIE:
            return ()
        if process.name() == "slurmstepd":  # which overwrites its environment, and has a socket in its node's folder
            folders = [Path(socket.laddr).parent for socket in process.net_connections("unix") if socket.laddr]
            nodes = [folder.name for folder in folders if folder.parent == self.root / "spool"]
            return ("", *nodes) if nodes else ()
        environment = process.environ()
        ours = environment.get("SLURM_CONF") == str(self.conf) and "SLURM_JOB_ID" in environment
        return ("", environment.get("SLURMD_NODENAME", "")) if ours else ()

    def _daemon(self, name: str) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.root / "run" / f"{name}.pid").read_text()))
            ours = process.name() == name.partition("-")[0] and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if ours else None

    def _restart_controller(self, configuration: str) -> None:
        self.controller_down()
        self.conf.write_text(configuration)
        self.controller_up()

    def _controller_answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            return "UP" in self.run("scontrol", "ping")
        return False

    def _wait_for_nodes(self, numbers: list[int]) -> None:
        names = ",".join(f"n{number}" for number in numbers)
        command = ["sinfo", "--noheader", "-N", "-n", names, "-p", "main", "-o", "%T"]
        ready = {"idle", "mixed", "allocated", "completing"}
        _wait(lambda: set(self.run(*command).splitlines()) <= ready, f"{names} up")


@contextlib.contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Start a SLURM, and stop it and remove all its files at the end, whatever happens in between."""
    root = Path(tempfile.mkdtemp(prefix="dask-batch-slurm-", dir="/tmp"))
    with _reserved_port() as port, tempfile.TemporaryFile("w+") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, str(_SCRIPTS / "slurm-up.sh"), str(_SCRIPTS / "slurm-down.sh")],
            env=without_slurm(os.environ) | {"SLURM_ROOT": str(root), "SLURM_PORT": str(port)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,  # so that Ctrl-C in a terminal reaches the tests first
        )
        assert keeper.stdin is not None and keeper.stdout is not None
        try:
            if not keeper.stdout.readline().startswith("export"):
                log.seek(0)
                raise RuntimeError(f"SLURM did not start:\n{log.read()}")
            yield SlurmCluster(root)
        finally:
            keeper.stdin.close()
            keeper.stdout.close()
            keeper.wait()
    assert keeper.returncode == 0 and not root.exists(), "SLURM goes when it is taken down"


def without_slurm(environment: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Return an environment without what would change how SLURM's commands behave."""
    return {name: value for name, value in environment.items() if not name.startswith(_PREFIXES)}


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """Find a row of free ports; whoever holds the one before them has them, also while no daemon listens on them."""
    for first in _PORTS:
        with socket.socket() as guard:
            if _binds(guard, first) and all(_is_free(first + 1 + number) for number in range(NODES + 1)):
                yield first + 1
                return
    raise RuntimeError("no free ports for SLURM")


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return _binds(probe, port)


def _kill(processes: list[psutil.Process | None]) -> None:
    there = [process for process in processes if process is not None]
    for process in there:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    _wait(lambda: not any(_lives(process) for process in there), "killed processes are gone")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait(condition: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
