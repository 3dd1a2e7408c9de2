"""Whatever user code does, the process keeps its promises; whatever happens to the process, nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dask_batch.scoring.cell import IDLE, LOAD, RUN, Cell

START = "import os, subprocess, sys, threading, time, ctypes, signal\ndef init(): pass\n"


def run_that(body: str, returns: str = "mini_batch") -> str:
    return (
        START + "def run(mini_batch):\n" + textwrap.indent(textwrap.dedent(body), "    ") + f"\n    return {returns}\n"
    )


def predictions(child, answer):
    return child.part(answer).column("prediction").to_pylist()


# -- the end -----------------------------------------------------------------------------------------------------------


def test_it_ends_when_its_pipe_closes_even_while_user_code_runs(child, files, tmp_path):
    note = tmp_path / "pid"
    child.loaded(
        run_that(f"""
            sleeper = subprocess.Popen(["sleep", "600"])
            open({str(note)!r}, "w").write(str(sleeper.pid) + "\\n")
            time.sleep(600)
        """)
    )
    child.send(child.score_message([files(1)]))
    child.wait_for(lambda: note.exists() and note.read_text().endswith("\n"), "the sleeper's start")
    os.close(child.into)
    child.popen.wait(60)
    child.wait_for(lambda: not child.is_running(int(note.read_text())), "the sleeper's end")


HANG = """
            if os.fork() == 0:
                open({note!r}, "w").write(str(os.getpid()) + "\\n")
                time.sleep(600)
            ctypes.PyDLL(None).sleep(600)  # holds the interpreter lock
"""


DRIVER = """
    import importlib.util, sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    spec = importlib.util.spec_from_file_location("driving", {conftest!r})
    driving = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driving)
    child = driving.Child(Path({folder!r}))
    child.loaded({script!r})
    child.send(child.score_message([[{file!r}]]))
    print(child.popen.pid, flush=True)
    time.sleep(600)
"""


def test_it_ends_with_its_parent_even_while_c_code_hangs_and_so_does_what_it_forked(tmp_path, files, eventually):
    note, here = tmp_path / "pid", Path(__file__).parent
    code = DRIVER.format(
        tests=str(here.parent),
        conftest=str(here / "conftest.py"),
        folder=str(tmp_path / "child"),
        script=run_that(HANG.format(note=str(note))),
        file=str(files(1)[0]),
    )
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as driver:
        pid = int(driver.stdout.readline())
        cell = Cell(str(tmp_path / "child" / "scratch" / "cell"))
        eventually(lambda: note.exists() and note.read_text().endswith("\n"), "the fork's start")
        eventually(lambda: cell.read("main")[0] == RUN, "the call")
        driver.kill()
    for number in (pid, int(note.read_text())):
        eventually(lambda number=number: not _is_running(number), "the end of what it left")
    cell.close()


def _is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    return False


def test_a_crash_takes_along_what_user_code_started(child, files, tmp_path):
    note = tmp_path / "pid"
    child.loaded(
        run_that(f"""
            sleeper = subprocess.Popen(["sleep", "600"])
            open({str(note)!r}, "w").write(str(sleeper.pid) + "\\n")
            ctypes.string_at(0)
        """)
    )
    child.send(child.score_message([files(1)], first=3))
    assert child.popen.wait(60) == -signal.SIGSEGV
    child.wait_for(lambda: not child.is_running(int(note.read_text())), "the sleeper's end")
    assert child.cell.read("main")[:4] == (RUN, 3, 0, 1)
    assert "score.py" in (child.scratch / "stack.txt").read_text()


def test_it_ends_at_once_if_its_parent_is_not_who_it_should_be(tmp_path):
    Cell(str(tmp_path / "cell"), create=True).close()
    command = [sys.executable, "-m", "dask_batch.scoring", "--in", "0", "--out", "1", "--cell", str(tmp_path / "cell")]
    command += ["--scratch", str(tmp_path), "--parent", "1"]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60).returncode == 1


def test_terminate_and_interrupt_are_ignored_but_not_by_programs_of_user_code(child, files):
    child.loaded(
        run_that(
            """
            import multiprocessing
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            program = subprocess.Popen(["sleep", "600"])
            program.terminate()
            worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            worker.start()
            worker.terminate()
            worker.join()
            """,
            "[[program.wait(), worker.exitcode]]",
        )
    )
    assert predictions(child, child.scored([files(1)])) == ["[-15, -15]"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_from_outside_change_nothing(child, files, number):
    child.loaded(run_that(""))
    os.kill(child.popen.pid, number)
    assert child.scored([files(1)])["counts"]["succeeded"] == 1


# -- hanging -----------------------------------------------------------------------------------------------------------


def test_the_stack_of_c_code_that_hangs_can_be_had(child, files):
    child.loaded(run_that("ctypes.PyDLL(None).sleep(600)"))
    child.send(child.score_message([files(3)], first=2))
    child.wait_for(lambda: child.cell.read("main")[0] == RUN, "the call")
    assert child.cell.read("main")[:4] == (RUN, 2, 0, 3)
    stack = child.scratch / "stack.txt"
    assert stack.stat().st_size == 0
    os.kill(child.popen.pid, signal.SIGUSR2)
    child.wait_for(lambda: "score.py" in stack.read_text(), "the dump")
    assert "in run" in stack.read_text()
    os.killpg(child.popen.pid, signal.SIGKILL)


def test_loading_shows_in_the_cell(child):
    (child.code / "score.py").write_text("import time\ntime.sleep(600)\n")
    message = {"op": "load", "key": "k", "kind": "script", "input_format": "files", "code_path": str(child.code)}
    child.send(message | {"scoring_script": "score.py"})
    child.wait_for(lambda: child.cell.read("main")[0] == LOAD, "the load")
    os.killpg(child.popen.pid, signal.SIGKILL)


# -- exceptions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise MemoryError", "MemoryError"),
        ("bytearray(1 << 60)", "MemoryError"),
        ("run(mini_batch)", "RecursionError"),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})", "Odd"),
        ("raise type('Locked', (Exception,), {'lock': threading.Lock()})", "Locked"),
        ("os.abort if False else exec('raise StopIteration')", "StopIteration"),
    ],
)
def test_whatever_is_raised_becomes_a_record_and_the_process_goes_on(child, files, body, kind):
    child.loaded(run_that(f"if '000' in mini_batch[0]:\n    {body}"))
    answer = child.scored([[path] for path in files(2)])
    (error,) = child.errors(answer)
    assert (error["type"], error["item"], error["stage"]) == (kind, 0, "predict")
    assert "score.py" in error["traceback"]
    assert answer["counts"]["succeeded"] == 1


# -- what user code changes --------------------------------------------------------------------------------------------


def test_forked_processes_that_return_from_run_end_there(child, files):
    child.loaded(
        run_that(
            """
            pids = []
            for way in ("return", "raise", "exit"):
                pid = os.fork()
                if pid == 0:
                    if way == "raise":
                        raise ValueError("in the fork")
                    if way == "exit":
                        sys.exit(7)
                    return ["from the fork"] * 5
                pids.append(pid)
            ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            """,
            "[ends]",
        )
    )
    answer = child.scored([files(1)])
    assert predictions(child, answer) == ["[0, 1, 7]"]
    assert "in the fork" in child.said()
    assert predictions(child, child.scored([files(1)])) == ["[0, 1, 7]"]


def test_user_code_may_wait_for_all_its_children(child, files):
    child.loaded(
        run_that(
            """
            if os.fork() == 0:
                os._exit(0)
            seen = 0
            while True:
                try:
                    os.wait()
                    seen += 1
                except ChildProcessError:
                    break
            """,
            "[seen]",
        )
    )
    assert predictions(child, child.scored([files(1)])) == [1]


def test_the_working_directory_is_put_back_after_each_call(child, files):
    child.loaded(run_that("here = os.getcwd(); os.mkdir('sub'); os.chdir('sub'); os.rmdir('../sub')", "[here]"))
    here = predictions(child, child.scored([[path] for path in files(2)]))
    assert here == [str(child.scratch / "work")] * 2


@pytest.mark.parametrize(
    "body",
    [
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout = sys.stderr = None",
        "import io; sys.stdout = sys.stderr = io.StringIO()",
        "os.close(1); os.close(2)",
        "os.closerange(3, 60)",
        "sys.stdout.detach()",
    ],
)
def test_output_goes_on_after_user_code_closed_or_replaced_its_streams(child, files, body):
    child.loaded(
        START
        + textwrap.dedent("""
        def run(mini_batch):
            print("printed", mini_batch[0])
            subprocess.run(["echo", "echoed", mini_batch[0]], check=True)
            BODY
            return mini_batch
        """).replace("BODY", body)
    )
    paths = files(3)
    answer = child.scored([[path] for path in paths])
    assert answer["counts"] == {"items": 3, "succeeded": 3, "rows_out": 3, "bytes": 3}
    for path in paths:
        assert f"printed {path}\n" in child.said()
        assert f"echoed {path}\n" in child.said()


def test_a_stream_that_init_replaced_stays(child, files, tmp_path):
    target = tmp_path / "own"
    script = run_that("print('to my own')").replace(
        "init(): pass", f"init(): sys.stdout = open({str(target)!r}, 'w', 1)"
    )
    child.loaded(script)
    child.scored([files(1)])
    assert target.read_text() == "to my own\n"


def test_programs_that_user_code_starts_do_not_inherit_the_pipes(child, files):
    child.loaded(
        run_that(
            """
            out = subprocess.run(
                ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False
            ).stdout
            """,
            "[out]",
        )
    )
    (out,) = predictions(child, child.scored([files(1)]))
    names = [line.split(" -> ")[1] for line in out.splitlines() if " -> " in line]
    assert len([name for name in names if name.startswith("pipe:")]) == 2  # its own output and error
    assert not [name for name in names if "stack.txt" in name or "cell" in name]


def test_forked_processes_cannot_answer_in_its_place(child, files):
    child.loaded(
        run_that(
            """
            read, write = os.pipe()
            if os.fork() == 0:
                left = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{name}") and int(name) > 100]
                os.write(write, repr([name for name in left if name.startswith("pipe:")]).encode())
                os._exit(0)
            os.wait()
            """,
            "[os.read(read, 10000).decode()]",
        )
    )
    assert predictions(child, child.scored([files(1)])) == ["[]"]


# -- the log -----------------------------------------------------------------------------------------------------------


def test_what_is_printed_and_logged_is_in_the_log_at_once(child, files, tmp_path):
    child.loaded(
        run_that("""
            import logging
            print("half a", end=" ")
            print("line")
            logging.getLogger("mine").info("as info")
            logging.getLogger("mine").debug("as debug")
            time.sleep(600)
        """)
    )
    child.send(child.score_message([files(1)]))
    child.wait_for(lambda: "as info" in child.said(), "the log")
    assert "half a line\n" in child.said()
    assert "INFO mine: as info" in child.said()
    assert "as debug" not in child.said()
    os.killpg(child.popen.pid, signal.SIGKILL)


def test_each_chunk_can_have_a_log_of_its_own(child, files, tmp_path):
    child.loaded(run_that("print('for', len(mini_batch))"))
    for n in (1, 2):
        message = child.score_message([files(n)]) | {"log": str(tmp_path / f"log-{n}")}
        assert child.ask(message)["op"] == "scored"
    assert (tmp_path / "log-1").read_text() == "for 1\n"
    assert (tmp_path / "log-2").read_text() == "for 2\n"


def test_a_log_that_is_cut_by_somebody_else_is_appended_to(child, files):
    child.loaded(run_that("print('x' * 1000)"))
    child.scored([files(1)])
    os.truncate(child.log, 3)
    child.scored([files(1)])
    assert child.log.stat().st_size == 3 + 1001


def test_a_hundred_megabytes_of_output_do_no_harm(child, files):
    child.loaded(run_that("for _ in range(100):\n    print('x' * 1_000_000)"))
    assert child.scored([files(1)])["counts"]["succeeded"] == 1
    assert child.log.stat().st_size == 100 * 1_000_001


def test_the_process_is_idle_between_chunks(child, files):
    child.loaded(run_that(""))
    child.scored([files(1)])
    assert child.cell.read("main")[0] == IDLE
    assert child.cell.read("read")[0] == IDLE
