"""Slots: processes are kept warm, handed out by deployment, ended when idle, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest
from slots_job import SCRIPT, children, make_loadable, task

from dask_batch import settings
from dask_batch.errors import DeploymentInvalid, EnvironmentFailed, NotFound
from dask_batch.slots.assets import local_asset, store_asset
from dask_batch.slots.deployments import resolve_secret
from dask_batch.slots.describing import describe
from dask_batch.slots.pool import Slots, pass_over_too_large
from dask_batch.specs.job import PinnedEnvironment
from dask_batch.storage import Storage


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "workspace"))


@pytest.fixture
def loadable(storage, tmp_path):
    return partial(make_loadable, storage, tmp_path / "code")


def test_a_process_stays_warm_for_the_next_chunk(storage, loadable, tmp_path):
    with Slots(storage, 2, name="i") as slots:
        first = slots.score(task(loadable(), tmp_path))
        second = slots.score(task(loadable(), tmp_path))
    assert first["result"] == second["result"] == "scored"
    assert first["pid"] == second["pid"]
    assert first["counts"]["succeeded"] == 1


def test_a_slot_goes_to_another_deployment_when_that_is_wanted(storage, loadable, tmp_path):
    with Slots(storage, 1, name="i") as slots:
        first = slots.score(task(loadable(), tmp_path))
        other = slots.score(task(loadable(environment_variables={"ANSWER": "42"}), tmp_path))
        assert first["pid"] != other["pid"]
        assert len(children()) == 1


def test_a_chunk_that_comes_while_its_model_is_loaded_ahead_waits_for_that_process(
    storage, loadable, tmp_path, eventually
):
    slow = loadable(SCRIPT.replace("global answer", "global answer; import time; time.sleep(0.5)"))
    with Slots(storage, 1, name="i") as slots:
        ahead = threading.Thread(target=slots.prepare, args=(slow, "j", "g"))
        ahead.start()
        eventually(children, "the process has started")
        assert slots.score(task(slow, tmp_path))["result"] == "scored"
        ahead.join()
        assert len(children()) == 1


def test_closing_leaves_no_process_and_no_folder(storage, loadable, tmp_path):
    with Slots(storage, 2, name="i") as slots:
        slots.score(task(loadable(), tmp_path))
        assert children()
    assert not children()
    assert list((settings.scratch_folder() / "processes").glob(f"{os.getpid()}-*")) == []


def test_closing_while_processes_work_waits_for_their_end_and_leaves_no_folder(storage, loadable, tmp_path, eventually):
    writing = """
    import os
    def init(): pass
    def run(files):
        place = os.environ["AZUREML_BI_OUTPUT_PATH"]
        n = 0
        while True:
            n += 1
            open(os.path.join(place, str(n % 1000)), "w").close()
    """
    with Slots(storage, 1, name="i") as slots:
        outcomes = []
        chunk = task(loadable(writing), tmp_path)
        scoring = threading.Thread(target=lambda: outcomes.append(slots.score(chunk)))
        scoring.start()
        own = partial((settings.scratch_folder() / "processes").glob, f"{os.getpid()}-*")
        eventually(lambda: sum(len(list(folder.rglob("*"))) for folder in own()) > 1000, "files are written")
    assert not children()
    assert not list(own())
    scoring.join()
    assert [outcome["result"] for outcome in outcomes] == ["canceled"]


def test_closing_removes_the_folders_of_instances_that_were_killed_meanwhile(storage):
    with Slots(storage, 1, name="i"), subprocess.Popen(["sleep", "60"]) as other:
        left = settings.scratch_folder() / "processes" / f"{other.pid}-00000000" / "files"
        left.mkdir(parents=True)
        with Slots(storage, 1, name="j"):
            pass
        assert left.exists(), "it may still be used"
        other.kill()
    assert not left.parent.exists()


def test_idle_processes_end(storage, loadable, tmp_path, monkeypatch, eventually):
    monkeypatch.setenv("DASK_BATCH_PROCESS_IDLE", "0.1")
    with Slots(storage, 2, name="i") as slots:
        slots.score(task(loadable(), tmp_path))
        eventually(lambda: not children(), "the idle process has ended")
        assert slots.score(task(loadable(), tmp_path))["result"] == "scored"


def test_scoring_processes_die_with_their_parent(tmp_path, eventually):
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_pool import Slots, Storage, make_loadable, task
        folder = Path({str(tmp_path)!r})
        storage = Storage(str(folder / "workspace"))
        slots = Slots(storage, 1, name="i")
        print(slots.score(task(make_loadable(storage, folder / "code"), folder))["pid"], flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
    finally:
        parent.kill()
        parent.communicate()
    eventually(lambda: not psutil.pid_exists(pid), "the scoring process is gone", 10)


def test_canceling_kills_what_runs_and_lets_nothing_more_through(storage, loadable, tmp_path, eventually):
    slow = loadable("import time\ndef init(): pass\ndef run(mini_batch): time.sleep(600)", timeout=900)
    outcomes = []
    with Slots(storage, 1, name="i") as slots:
        thread = threading.Thread(target=lambda: outcomes.append(slots.score(task(slow, tmp_path))))
        thread.start()
        eventually(children, "it runs")
        slots.cancel("g")
        thread.join(20)
        assert [outcome["result"] for outcome in outcomes] == ["canceled"]
        assert not children()
        assert slots.score(task(slow, tmp_path))["result"] == "canceled"


def test_a_deployment_is_described_after_loading_it(storage, loadable):
    assert describe(storage, loadable().snapshot)["takes_params"] is False


def test_a_script_that_does_not_load_says_why_with_the_users_traceback(storage, loadable):
    broken = loadable("def init():\n    raise RuntimeError('the weights are missing')\ndef run(mini_batch): pass")
    with pytest.raises(DeploymentInvalid, match="the weights are missing") as caught:
        describe(storage, broken.snapshot)
    assert "score.py" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import os, sys\nprint('no licence', flush=True)\nos._exit(3)", r"exit status 3, while it loaded.*no licence"),
        ("import os\ndef init(): os.kill(os.getpid(), 11)\ndef run(mini_batch): pass", "SIGSEGV, while it loaded"),
    ],
)
def test_a_script_that_ends_its_process_says_how_and_what_it_wrote(storage, loadable, script, says):
    with pytest.raises(DeploymentInvalid, match=rf"(?s){says}"):
        describe(storage, loadable(script).snapshot)


def test_a_process_that_ends_before_it_can_load_anything_says_what_it_wrote(storage, loadable, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "json.py").write_text("raise RuntimeError('a json of somebody else')")
    environment = PinnedEnvironment(digest="x", environment_variables={"PYTHONPATH": str(tmp_path / "broken")})
    with pytest.raises(DeploymentInvalid, match=r"(?s)exit status 1, before it could load.*a json of somebody else"):
        describe(storage, loadable(environment=environment).snapshot)


def test_a_python_path_of_the_users_does_not_hide_the_scoring_package(storage, loadable, tmp_path):
    (tmp_path / "mylib").mkdir()
    (tmp_path / "mylib" / "theirs.py").write_text("word = 'found'")
    (tmp_path / "mylib" / "dask_batch.py").write_text("raise RuntimeError('another dask_batch')")
    environment = PinnedEnvironment(digest="x", environment_variables={"PYTHONPATH": str(tmp_path / "mylib")})
    script = "import theirs\ndef init(): assert theirs.word == 'found'\ndef run(mini_batch): return mini_batch"
    assert describe(storage, loadable(script, environment=environment).snapshot)["takes_params"] is False


def test_an_interpreter_that_does_not_exist_is_said_so(storage, loadable):
    environment = PinnedEnvironment(digest="x", python="/no/such/python")
    with pytest.raises(EnvironmentFailed, match="/no/such/python"):
        describe(storage, loadable(environment=environment).snapshot)


def test_secrets_are_resolved_where_they_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "s3cret")
    file = tmp_path / "token"
    file.write_text("from a file\n")
    assert resolve_secret("T", "env:A_TOKEN") == "s3cret"
    assert resolve_secret("T", f"file:{file}") == "from a file"
    assert resolve_secret("T", "plain: text") == "plain: text"
    with pytest.raises(EnvironmentFailed, match=r"NO_SUCH is not set.*compute stop -n big.*file:PATH"):
        resolve_secret("T", "env:NO_SUCH", "big")


def test_a_file_held_whole_that_is_larger_than_the_slots_share_fails_as_an_item():
    splits = [
        {"path": "big.json", "format": "json", "size": 3 << 20},
        {"path": "small.json", "format": "json", "size": 1 << 20},
        {"path": "big.csv", "format": "csv", "size": 3 << 20},
    ]
    pass_over_too_large([splits], 2 << 20)
    assert "big.json" in splits[0]["skip"]["message"]
    assert ["skip" in split for split in splits] == [True, False, False]


def test_the_same_content_is_stored_once(storage, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("cache")
    first = store_asset(storage, str(folder))
    (folder / "__pycache__" / "x.pyc").write_text("another cache")
    assert store_asset(storage, str(folder)) == first
    assert [p.name for p in Path(local_asset(storage, first.asset), "model").iterdir()] == ["weights"]
    (folder / "weights").write_text("2")
    assert store_asset(storage, str(folder)).digest != first.digest


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_what_is_stored_is_for_its_owner_only_even_in_a_root_that_all_can_read(tmp_path, umask):
    root, folder = tmp_path / "shared", tmp_path / "code"
    root.mkdir()
    root.chmod(0o755)
    (folder / "deep" / "empty").mkdir(parents=True)
    for name, mode in (("score.py", 0o644), ("deep/tool", 0o755)):
        (folder / name).write_text("x")
        (folder / name).chmod(mode)
    before = os.umask(umask)
    try:
        stored = store_asset(Storage(str(root)), str(folder))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root / stored.asset).rglob("*")}
    assert modes == {"code": 0o700, "deep": 0o700, "score.py": 0o600, "tool": 0o700}
    assert (root / stored.asset).stat().st_mode & 0o777 == (root / "assets").stat().st_mode & 0o777 == 0o700


def test_an_empty_folder_can_be_stored(storage, tmp_path):
    (tmp_path / "model").mkdir()
    stored = store_asset(storage, str(tmp_path / "model"))
    assert list(Path(local_asset(storage, stored.asset), "model").iterdir()) == []


def test_a_path_that_does_not_exist_cannot_be_stored(storage):
    with pytest.raises(NotFound, match="/no/such/model"):
        store_asset(storage, "/no/such/model")


def test_a_compressed_file_held_whole_is_given_what_it_may_unpack_to():
    splits = [{"path": "a.json.gz", "format": "json.gz", "size": 1}, {"path": "b.json", "format": "json", "size": 1}]
    pass_over_too_large([splits], 2 << 20)
    assert [split.get("most_bytes") for split in splits] == [2 << 20, None]
