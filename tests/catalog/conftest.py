"""Each test that takes `url` or `catalog` runs on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path

import pytest

from dask_batch.catalog import open_catalog


def load(path: Path):
    """Import a file that is in no package, under its own name."""
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[path.stem])
    return sys.modules[path.stem]


HERE = Path(__file__).parent
postgres_module = load(HERE.parent / "servers" / "postgres.py")
catalog_clients = load(HERE / "catalog_clients.py")


@pytest.fixture(scope="session")
def postgres():
    with postgres_module.postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres):
    name = f"t{uuid.uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def catalog_file(tmp_path):
    return tmp_path / "home" / "catalog.sqlite"


@pytest.fixture
def sqlite_url(catalog_file):
    return f"sqlite:///{catalog_file}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def catalog(url):
    with open_catalog(url) as opened:
        yield opened


@pytest.fixture
def clients():
    """Start client processes; all that still run at the end of the test are killed."""
    with catalog_clients.Clients() as started:
        yield started


@pytest.fixture
def add_job(catalog):
    """Add a job, with ordinary values where none are given."""

    def add(name, **changes):
        values = {"endpoint": "heart", "deployment": "xgb", "compute": "local", "owner": "ana", "created": "2026-11-01"}
        return catalog.add_job(name, **{**values, **changes})

    return add
