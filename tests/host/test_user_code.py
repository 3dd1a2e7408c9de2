"""What user code can do to a job: one bad item costs one item, and the message says which, why and what next."""

from __future__ import annotations

import os

import psutil
import pytest

GOOD = """
    def init():
        global ready
        ready = True

    def run(mini_batch):
        return [int(open(path).read()) for path in mini_batch]
"""


def bad(body: str) -> str:
    """Return a script that does something bad at file number 3."""
    return f"""
    import ctypes, os, sys, threading, time

    def init(): pass

    def run(mini_batch):
        numbers = [int(open(path).read()) for path in mini_batch]
        if 3 in numbers:
            {body}
        return numbers
    """


def test_every_file_gives_its_row_in_input_order(script_job):
    job = script_job(GOOD, 25, mini_batch_size=4).run(slots=2)
    assert job.status.state == "Completed"
    rows = job.rows()
    assert rows["prediction"].tolist() == list(range(25))
    assert [os.path.basename(path) for path in rows["source_file"]] == [f"f{n:05d}.txt" for n in range(25)]
    assert job.status.counts.items == job.status.counts.succeeded == 25
    assert job.status.progress == 1.0
    assert job.events("state")[-1]["finish"] == "Completed"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("raise ValueError('three is bad')", "ValueError", "three is bad"),
        ("sys.exit(7)", "SystemExit", "7"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise type('Odd', (Exception,), {'__reduce__': None, '__str__': None})()", "Odd", ""),
        ("return None", "TypeError", "returned None"),
        ("return {'a': 1}", "TypeError", "dict"),
        ("os._exit(3)", "ProcessDied", "exit status 3"),
        ("os.kill(os.getpid(), 11)", "ProcessDied", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "ProcessDied", "SIGKILL"),
        ("def f(): f()\n            f()", "RecursionError", ""),
    ],
)
def test_a_bad_item_fails_alone(script_job, body, kind, says):
    job = script_job(bad(body), 12, mini_batch_size=6).run()
    assert job.status.state == "Completed", job.status.reason
    assert job.rows()["prediction"].tolist() == [n for n in range(12) if n != 3]
    (error,) = job.errors()
    assert os.path.basename(error["file"]) == "f00003.txt"
    assert error["type"] == kind
    assert says in error["message"]
    assert error["stage"] == "predict"


@pytest.mark.parametrize("hang", ["time.sleep(600)", "ctypes.PyDLL(None).sleep(600)"])
def test_a_call_that_hangs_is_killed_and_says_where(script_job, hang):
    job = script_job(bad(hang), 8, mini_batch_size=4, timeout=1.0).run()
    assert job.rows()["prediction"].tolist() == [n for n in range(8) if n != 3]
    (error,) = job.errors()
    assert error["type"] == "Timeout"
    assert "timeout of 1 s" in error["message"]
    assert "score.py" in error["traceback"]


def test_too_few_results_are_bisected_to_the_file_that_gives_none(script_job):
    job = script_job(bad("return [n for n in numbers if n != 3]"), 8, mini_batch_size=8).run()
    assert job.rows()["prediction"].tolist() == [0, 1, 2, 4, 5, 6, 7]
    (error,) = job.errors()
    assert os.path.basename(error["file"]) == "f00003.txt"


def test_a_script_that_forks_gives_each_row_once(script_job):
    script = """
    import os
    def init(): pass
    def run(mini_batch):
        if os.fork() == 0:
            pass
        return [int(open(path).read()) for path in mini_batch]
    """
    job = script_job(script, 10, mini_batch_size=2).run()
    assert job.rows()["prediction"].tolist() == list(range(10))


def test_a_script_that_leaves_a_child_behind_leaves_none_after_the_job(script_job, eventually):
    script = """
    import subprocess
    def init(): subprocess.Popen(["sleep", "987654"])
    def run(mini_batch): return [1] * len(mini_batch)
    """
    script_job(script, 2).run()

    def gone() -> bool:
        return not any(p.info["cmdline"] == ["sleep", "987654"] for p in psutil.process_iter(["cmdline"]))

    eventually(gone, "the child of the script is gone", 5)


def test_changing_the_working_directory_harms_nobody(script_job):
    script = """
    import os
    def init(): pass
    def run(mini_batch):
        open("relative", "x").close()
        os.chdir("/")
        return [int(open(path).read()) for path in mini_batch]
    """
    assert script_job(script, 1, mini_batch_size=1).run().status.state == "Completed"


def test_a_flood_of_prints_is_cut_in_the_middle(script_job, monkeypatch):
    monkeypatch.setenv("DASK_BATCH_LOG_LIMIT", str(4 << 20))
    script = """
    import time
    def init(): print("the beginning")
    def run(mini_batch):
        for _ in range(100):
            print("x" * (1 << 20))
        time.sleep(0.5)
        print("the end")
        return [1] * len(mini_batch)
    """
    job = script_job(script, 1).run()
    assert job.status.state == "Completed"
    logs = job.logs()
    assert "the beginning" in logs
    assert "the end" in logs
    assert "left out here" in logs
    assert len(logs) < 60 << 20


def test_prints_and_log_messages_reach_the_log(script_job):
    script = """
    import logging
    def init(): print("printed in init")
    def run(mini_batch):
        logging.getLogger("mine").info("logged in run")
        return [1] * len(mini_batch)
    """
    logs = script_job(script, 1).run().logs()
    assert "printed in init" in logs
    assert "logged in run" in logs


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("def run(mini_batch) return 1", "SyntaxError"),
        ("import nosuchmodule\ndef init(): pass\ndef run(mini_batch): pass", "nosuchmodule"),
        ("def init(): pass", "run"),
        ("def init(): raise RuntimeError('no model here')\ndef run(mini_batch): pass", "no model here"),
        ("import os\ndef init(): os._exit(9)\ndef run(mini_batch): pass", "exit status 9"),
    ],
)
def test_a_script_that_does_not_load_fails_the_job_at_once(script_job, script, says):
    job = script_job(script, 3).run()
    assert job.status.state == "Failed"
    reason = job.status.reason
    assert says in reason["type"] + reason["message"] + reason.get("traceback", "")
    assert reason["stage"] == "load"
    assert reason["next"]


def test_more_failures_than_the_threshold_fail_the_job_and_keep_what_succeeded(script_job):
    job = script_job(bad("raise ValueError('three')"), 40, mini_batch_size=1, error_threshold=0).run()
    assert job.status.state == "Failed"
    assert "error_threshold 0" in job.status.reason["message"]
    assert job.decision["counts"]["succeeded"] >= 3


def test_nothing_succeeded_is_failed_whatever_the_threshold(script_job):
    script = "def init(): pass\ndef run(mini_batch): raise ValueError('never')"
    job = script_job(script, 4).run()
    assert job.status.state == "Failed"
    assert "none of 4 items succeeded" in job.status.reason["message"]


def test_params_reach_a_script_that_takes_them(script_job):
    script = """
    def init(): pass
    def run(mini_batch, params): return [params["threshold"]] * len(mini_batch)
    """
    job = script_job(script, 2, params={"threshold": 0.5}).run()
    assert job.rows()["prediction"].tolist() == [0.5, 0.5]


def test_files_left_in_the_output_folder_appear_beside_the_rows(script_job):
    script = """
    import os
    def init(): pass
    def run(mini_batch):
        for path in mini_batch:
            folder = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "deep")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, os.path.basename(path)), "w") as file:
                file.write(open(path).read() * 2)
        return mini_batch
    """
    job = script_job(script, 5, mini_batch_size=2, output_action="summary_only").run(slots=2)
    assert job.status.state == "Completed"
    folder = job.folder.storage
    names = list(folder.list(job.folder.path("outputs", "score", "deep")))
    assert names == [f"f{n:05d}.txt" for n in range(5)]
    assert folder.read(job.folder.path("outputs", "score", "deep", "f00003.txt")) == b"33"
    assert "predictions.csv" not in folder.list(job.folder.path("outputs", "score"))


def test_two_mini_batches_that_leave_the_same_file_cannot_both_be_right(script_job):
    script = """
    import os
    def init(): pass
    def run(mini_batch):
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "same.txt"), "w") as file:
            file.write("x")
        return mini_batch
    """
    job = script_job(script, 4, mini_batch_size=2).run()
    assert job.status.counts.succeeded == 2
    assert job.status.counts.failed == 2
    errors = job.errors()
    assert all("same.txt" in error["message"] for error in errors)


def test_memory_beyond_the_slots_share_kills_the_process_not_the_instance(script_job, monkeypatch):
    from dask_batch.host import inline

    make = inline.Slots
    monkeypatch.setattr(inline, "Slots", lambda *a, **k: make(*a, **k, memory_bytes=400 << 20))
    body = "hog = bytearray(800 << 20); time.sleep(30)"
    job = script_job(bad(body), 6, mini_batch_size=3, timeout=60).run()
    assert job.rows()["prediction"].tolist() == [0, 1, 2, 4, 5]
    (error,) = job.errors()
    assert error["type"] == "OutOfMemory"
    assert "slot's share" in error["message"]
