"""Loading a deployment: what is set before, what is found, and how what is missing is told."""

from __future__ import annotations

import pytest

NOTHING = "def init(): pass\ndef run(mini_batch): return mini_batch\n"


def test_the_description_says_what_the_script_can_do(child):
    answer = child.loaded(NOTHING + "def shutdown(): pass")
    description = answer["description"]
    assert description["has_shutdown"] is True
    assert description["takes_params"] is False
    assert description["flavor"] is None and description["package_problems"] == []
    assert answer["seconds"] >= 0


@pytest.mark.parametrize("name", ["score.py", "batch-driver.py", "src/deep/score.py", "json.py", "my.score.py"])
def test_scripts_are_found_under_any_name_and_in_subfolders(child, files, name):
    (child.code / "beside.py").write_text("word = 'found'")
    child.loaded("import json, beside\n" + NOTHING.replace("mini_batch\n", "[json.dumps(beside.word)]\n"), name=name)
    assert child.part(child.scored([files(1)])).column("prediction").to_pylist() == ['"found"']


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("score.py", "score"),
        ("model.py", "model"),
        ("wave.py", "scoring_script_wave"),
        ("PIL.py", "scoring_script_PIL"),
    ],
)
def test_a_script_is_a_module_of_its_own_name_unless_another_module_has_that(child, files, tmp_path, name, module):
    (tmp_path / "weights").mkdir()
    child.loaded(NOTHING.replace("mini_batch\n", "[__name__]\n"), name=name, model_path=str(tmp_path / "weights"))
    assert child.part(child.scored([files(1)])).column("prediction").to_pylist() == [module]


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("def init(:\n", "SyntaxError", "score.py"),
        ("import no_such_module\n" + NOTHING, "ModuleNotFoundError", "import no_such_module"),
        (NOTHING.replace("pass", "raise RuntimeError('no weights')"), "RuntimeError", "in init"),
        (NOTHING.replace("pass", "import sys; sys.exit(3)"), "SystemExit", "in init"),
    ],
)
def test_what_the_script_raises_is_told_with_its_own_frames_first(child, script, kind, said):
    answer = child.load(script)
    assert answer["op"] == "load_failed"
    error = answer["error"]
    assert (error["stage"], error["type"]) == ("load", kind)
    assert said in error["traceback"]
    assert "dask_batch" not in error["traceback"] and "importlib" not in error["traceback"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def init(): pass\ndef predict(x): pass", "no function run (it defines init, predict)"),
        ("def run(mini_batch): pass", "no function init"),
        ("x = 1", "no function init and no function run (it defines no functions)"),
    ],
)
def test_a_missing_function_is_told_with_what_was_found_and_what_is_needed(child, script, said):
    answer = child.load(script)
    assert answer["op"] == "load_failed"
    assert said in answer["error"]["message"]
    assert "needs init() and run(mini_batch)" in answer["error"]["message"]
    assert "score.py" in answer["error"]["message"]


def test_a_script_that_is_not_there_is_told(child):
    answer = child.load(None, name="nope.py")
    assert "no scoring script 'nope.py'" in answer["error"]["message"]


def test_variables_are_set_before_the_script_is_imported(start, files):
    child = start({"OMP_NUM_THREADS": "7", "KEPT": "yes"})
    child.loaded(
        """
        import os
        SEEN = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MODE", "KEPT")]

        def init():
            pass

        def run(mini_batch):
            import pyarrow
            return [SEEN + [pyarrow.cpu_count()]]
        """,
        threads=2,
        environment_variables={"MODE": "fast", "MKL_NUM_THREADS": "5"},
    )
    assert child.part(child.scored([files(1)])).column("prediction").to_pylist() == ['["2", "5", "fast", "yes", 2]']


def test_the_process_goes_on_waiting_after_a_failed_load(child):
    child.load("raise ValueError")
    child.send({"op": "close"})
    assert child.popen.wait(60) == 0


def test_a_chunk_before_a_deployment_is_refused(child, files):
    answer = child.score([files(1)])
    assert answer["op"] == "failed"
    assert "before a deployment was loaded" in answer["error"]["message"]


def test_shutdown_is_called_once_at_the_end(child, tmp_path):
    child.loaded(
        NOTHING
        + f"""
import atexit, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
atexit.register(lambda: open({str(tmp_path / "atexit")!r}, "w").close())
def shutdown():
    open({str(tmp_path / "called")!r}, "a").write("x")
    print("tidied up")
    raise ValueError("too late to matter")
"""
    )
    child.send({"op": "close"})
    assert child.popen.wait(60) == 0
    assert (tmp_path / "called").read_text() == "x"
    assert (tmp_path / "atexit").exists()
    assert "tidied up" in child.said() and "too late to matter" in child.said()
