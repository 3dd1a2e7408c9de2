"""Environments that are built, and interpreters that are named: which Python, which secrets, and what is refused."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import venv
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dask_batch.errors import EnvironmentFailed
from dask_batch.slots.building import AnotherPython, build_environment
from dask_batch.slots.interpreter import find_interpreter
from dask_batch.slots.secrets import redacted
from dask_batch.specs.job import PinnedEnvironment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
WHEEL = "only_there-1.0-py3-none-any.whl"


def environment(*requirements, version=None):
    return PinnedEnvironment(digest="x", requirements=requirements, python_version=version)


def said_by(executable, code):
    return subprocess.run([executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A package index with one package, for who knows the password; returns its host and port."""
    wheel = tmp_path_factory.mktemp("index") / WHEEL
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("only_there.py", "word = 'found'")
        file.writestr("only_there-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: only-there\nVersion: 1.0\n")
        file.writestr(
            "only_there-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("only_there-1.0.dist-info/RECORD", "")
    wanted = "Basic " + base64.b64encode(b"me:hunter2").decode()

    class Index(BaseHTTPRequestHandler):
        def do_GET(self):
            content = {
                "/simple/only-there/": f"<a href='/{WHEEL}'>{WHEEL}</a>".encode(),
                f"/{WHEEL}": wheel.read_bytes(),
            }.get(self.path)
            known = self.headers.get("Authorization") == wanted
            self.send_response(404 if content is None else 200 if known else 401)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            if content is not None and known and self.command == "GET":
                self.wfile.write(content)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def from_index(index):
    return environment(f"--extra-index-url http://me:${{INDEX_PASSWORD}}@{index}/simple", "only-there==1.0")


def test_a_secret_in_requirements_comes_from_the_environment_when_they_are_installed(index, monkeypatch):
    monkeypatch.setenv("INDEX_PASSWORD", "hunter2")
    executable = build_environment(from_index(index), mlflow=False)
    assert said_by(executable, "import only_there; print(only_there.word)") == "found"


def test_a_secret_that_is_not_set_is_named(index, monkeypatch):
    monkeypatch.delenv("INDEX_PASSWORD", raising=False)
    wanted = environment(*from_index(index).requirements, "numpy")
    with pytest.raises(EnvironmentFailed, match=r"\$\{INDEX_PASSWORD\}, which is not set.*compute stop"):
        build_environment(wanted, mlflow=False)


def test_what_uv_says_is_shown_without_passwords(index, monkeypatch):
    monkeypatch.setenv("INDEX_PASSWORD", "hunter3")
    with pytest.raises(EnvironmentFailed, match="only-there") as caught:
        build_environment(environment(*from_index(index).requirements, "fsspec"), mlflow=False)
    assert "hunter" not in str(caught.value) and "INDEX_PASSWORD" not in str(caught.value)
    text = "at https://me:hunter2@host/simple: https://store/a.whl?sig=hunter2&se=1 and git+https://hunter2@host/x"
    assert "hunter" not in redacted(text) and "se=1" in redacted(text)


def test_where_a_patch_version_cannot_be_had_another_one_is_used_with_a_warning():
    with pytest.warns(AnotherPython, match=rf"Python {HERE}\.99 can neither.*another Python {HERE}") as warned:
        executable = build_environment(environment("fsspec", version=f"{HERE}.99"), mlflow=False)
    assert len(warned) == 1
    assert said_by(executable, "import sys; print('%d.%d' % sys.version_info[:2])") == HERE
    assert build_environment(environment("fsspec", version=f"{HERE}.99"), mlflow=False) == executable


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3.99", r"asks for Python 3\.99, and uv can neither find nor download .*python=.*change the version"),
        ("3.99.1", r"asks for Python 3\.99\.1, and uv can neither find nor download a Python 3\.99 "),
        ("3.7.12", r"asks for Python 3\.7\.12, and scoring needs Python 3\.8 or newer"),
        ("2", r"asks for Python 2, and scoring needs Python 3\.8 or newer"),
    ],
)
def test_a_python_that_cannot_be_had_is_named_with_what_to_do(version, says):
    with pytest.raises(EnvironmentFailed, match=rf"(?s){says}"):
        build_environment(environment("fsspec", version=version), mlflow=False)


def test_an_interpreter_without_the_packages_says_which(tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(EnvironmentFailed, match=r"has no fsspec, numpy, pandas, pyarrow.*-m pip install fsspec"):
        find_interpreter(PinnedEnvironment(digest="x", python=str(tmp_path / "bare")), mlflow=False)


def test_a_package_that_does_not_import_says_why(tmp_path):
    venv.create(tmp_path / "broken", with_pip=False, system_site_packages=False)
    (packages,) = (tmp_path / "broken" / "lib").glob("*/site-packages")
    for name in ("fsspec", "pandas", "pyarrow"):
        (packages / f"{name}.py").touch()
    (packages / "numpy.py").write_text("raise ImportError('libblas.so.3: no such file')")
    with pytest.raises(EnvironmentFailed, match=r"cannot score: ImportError: libblas\.so\.3"):
        find_interpreter(PinnedEnvironment(digest="x", python=str(tmp_path / "broken")), mlflow=False)


def test_an_interpreter_that_is_too_old_is_refused(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3.7.16\n")
    old.chmod(0o755)
    with pytest.raises(EnvironmentFailed, match=r"is Python 3\.7\.16, and scoring needs Python 3\.8 or newer"):
        find_interpreter(PinnedEnvironment(digest="x", python=str(old)), mlflow=False)
