"""Storage: the two verbs that everything safe is made of."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dask_batch.errors import StorageError
from dask_batch.storage import Storage, is_transient, join, retry

RACER = """
import sys, time
from dask_batch.storage import Storage
storage = Storage(sys.argv[1])
while time.time() < float(sys.argv[2]):
    pass
print(sum(storage.create(f"decision-{n}", sys.argv[3].encode() * 1000) for n in range(50)))
"""


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


def test_create_writes_once_and_never_again(storage):
    assert storage.create("a/b", b"first")
    assert not storage.create("a/b", b"second")
    assert storage.read("a/b") == b"first"


def test_of_many_processes_exactly_one_creates_each_name(tmp_path):
    import time

    start = str(time.time() + 1.5)
    command = [sys.executable, "-c", RACER, str(tmp_path), start]
    racers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE) for n in range(6)]
    wins = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(wins) == 50
    contents = {Storage(str(tmp_path)).read(f"decision-{n}") for n in range(50)}
    assert all(len(set(content)) == 1 and len(content) == 1000 for content in contents)


def test_put_replaces_a_file_as_a_whole(storage):
    storage.put("status.json", b"one")
    storage.put("status.json", b"two")
    assert storage.read("status.json") == b"two"
    assert storage.list("") == ["status.json"]


def test_files_and_folders_are_for_their_owner_only(storage):
    storage.create("deep/er/file", b"x")
    path = storage.url("deep/er/file")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_nothing_temporary_is_left_nor_listed(storage):
    storage.create("x/one", b"1")
    storage.create("x/one", b"2")
    storage.put("x/two", b"3")
    assert sorted(os.listdir(storage.url("x"))) == ["one", "two"]


def test_odd_names_are_ordinary_names(odd_path):
    storage = Storage(str(odd_path))
    assert storage.create("a #%?.json", b"x")
    assert storage.list("") == ["a #%?.json"]
    assert list(storage.walk("")) == ["a #%?.json"]


def test_a_folder_is_gone_when_its_removal_returns_also_where_another_one_removes_it(storage):
    for n in range(1500):
        storage.upload(__file__, f"folder/{n % 30}/{n}")

    def remove(_):
        storage.remove("folder")
        return storage.exists("folder")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(remove, range(4))) == [False] * 4


def test_a_folder_is_removed_also_while_somebody_writes_to_it(storage):
    written, removed = threading.Event(), threading.Event()

    def write():
        for _ in range(300):
            with contextlib.suppress(FileNotFoundError):  # it was removed under its writer
                storage.put("folder/status.json", b"x")
            written.set()
            if removed.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        written.wait(30)
        storage.remove("folder")
        removed.set()
        writing.result()


@pytest.mark.parametrize("verb", ["create", "put"])
def test_a_file_that_cannot_be_written_is_named(storage, verb, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")  # as the system says it: of which file, it does not

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*folder/file'"):
        getattr(storage, verb)("folder/file", b"x")
    assert os.listdir(storage.url("folder")) == []


def test_a_root_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Storage(str(tmp_path / "file" / "root")).check()


def test_an_unknown_protocol_is_said_so():
    with pytest.raises(StorageError, match="cannot be used"):
        Storage("nosuch://bucket")


def test_joining_keeps_urls_whole():
    assert join("s3://bucket/", "/a/", "b") == "s3://bucket/a/b"
    assert join("/", "a") == "/a"
    assert join("/x", "") == "/x"


def test_only_hiccups_are_tried_again():
    tries = []

    def attempt(error):
        tries.append(error)
        raise error

    for error, times in [(ConnectionError(), 3), (PermissionError(13, "no"), 1), (OSError(28, "full"), 1)]:
        tries.clear()
        with pytest.raises(type(error)):
            retry(lambda error=error: attempt(error), times=3, first_wait_s=0.001)
        assert len(tries) == times
    assert is_transient(OSError("no errno"))
