"""Opening and closing: addresses, files, versions of the schema, and what is left open."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from dask_batch.catalog import open_catalog, tables
from dask_batch.catalog.connecting import parse_url
from dask_batch.catalog.database import Database
from dask_batch.catalog.migrations import STEPS, bring_up_to_date
from dask_batch.catalog.records import decode, encode
from dask_batch.errors import CatalogError, InvalidDefinition

# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["postgresql://a@h/d", "postgres://a@h/d", "postgresql+psycopg://a@h/d"])
def test_an_address_of_postgresql_uses_psycopg(address):
    assert str(parse_url(address)) == "postgresql+psycopg://a@h/d"


@pytest.mark.parametrize(
    "address", ["", "/a/path", "mysql://a@h/d", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:////x"]
)
def test_an_address_that_cannot_be_says_what_can(address):
    with pytest.raises(CatalogError, match=r"give sqlite:////absolute/path/catalog.sqlite or postgresql://"):
        open_catalog(address)


@given(st.text())
def test_any_other_text_is_an_error_too(address):
    try:
        parse_url(address)
    except CatalogError as error:
        assert "give sqlite:" in str(error)


def test_a_password_is_never_shown(postgres):
    address = postgres.url("absent").replace("postgres@", "postgres:hunter2@")
    with pytest.raises(CatalogError) as caught:
        open_catalog(address)
    assert "absent" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(CatalogError) as caught:
        open_catalog("mysql:// hunter2 @")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"catalog 'postgresql.*' answers: .*; check that the server runs"):
        open_catalog(f"postgresql://ana@/team?host={tmp_path}")


def test_a_missing_driver_says_what_to_install():
    script = """
import sys
sys.modules["psycopg"] = None
from dask_batch.catalog import open_catalog
from dask_batch.errors import MissingExtra
try:
    open_catalog("postgresql://ana:hunter2@h/d")
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'dask-batch[postgres]'" in done.stdout
    assert "hunter2" not in done.stdout


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_new_file_and_its_folder_are_for_the_user_alone(sqlite_url, catalog_file):
    with open_catalog(sqlite_url):
        assert stat.S_IMODE(catalog_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(catalog_file.parent.stat().st_mode) == 0o700


def test_a_folder_that_exists_keeps_its_mode(sqlite_url, catalog_file):
    catalog_file.parent.mkdir(mode=0o755)
    with open_catalog(sqlite_url):
        assert stat.S_IMODE(catalog_file.parent.stat().st_mode) == 0o755


def test_a_file_works_without_a_write_ahead_log(sqlite_url, catalog_file):
    with open_catalog(sqlite_url) as catalog:
        catalog.endpoints.create("heart", {})
        with sqlite3.connect(catalog_file) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        connection.close()
    assert os.listdir(catalog_file.parent) == ["catalog.sqlite"]


def test_a_relative_path_means_the_folder_at_the_time_of_opening(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_catalog("sqlite:///catalog.sqlite") as catalog:
        monkeypatch.chdir("/")
        catalog.endpoints.create("heart", {})
    assert (tmp_path / "catalog.sqlite").exists()


def test_a_path_is_a_file_whatever_characters_it_has(odd_path):
    with open_catalog(odd_path / "catalog.sqlite") as catalog:
        catalog.endpoints.create("heart", {})
    assert os.listdir(odd_path) == ["catalog.sqlite"]
    assert os.listdir(odd_path.parent) == [odd_path.name]


def test_a_file_that_is_no_catalog_is_an_error_that_names_it(catalog_file, sqlite_url):
    catalog_file.parent.mkdir()
    catalog_file.write_bytes(b"my thesis" * 1000)
    with pytest.raises(CatalogError, match=r"catalog '.*catalog.sqlite' answers: file is not a database"):
        open_catalog(sqlite_url)
    assert catalog_file.read_bytes() == b"my thesis" * 1000


def test_a_folder_in_the_place_of_the_file_is_an_error(catalog_file, sqlite_url):
    catalog_file.mkdir(parents=True)
    with pytest.raises(CatalogError, match="unable to open database file"):
        open_catalog(sqlite_url)


def test_a_place_that_cannot_be_written_is_an_error_that_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match=r"cannot be created: File exists: '.*/file'; name a place"):
        open_catalog(f"sqlite:///{tmp_path}/file/catalog.sqlite")


# -- closing -----------------------------------------------------------------------------------------------------------


def test_nothing_is_left_open(url):
    before = psutil.Process().num_fds()
    with open_catalog(url) as catalog:
        catalog.endpoints.create("heart", {})
        catalog.endpoints.list()
        assert psutil.Process().num_fds() == before
    assert psutil.Process().num_fds() == before


def test_a_closed_catalog_says_so(catalog):
    catalog.close()
    catalog.close()
    with pytest.raises(CatalogError, match="is closed; open it again to list endpoints"):
        catalog.endpoints.list()


def test_what_was_stored_is_there_when_opened_again(url):
    with open_catalog(url) as catalog:
        catalog.endpoints.create("heart", {"a": 1})
    with open_catalog(url) as catalog:
        assert catalog.endpoints.get("heart").document == {"a": 1}


# -- versions of the schema --------------------------------------------------------------------------------------------


def next_version():
    """Return tables and steps of a schema that is one version further: endpoints have an owner."""
    metadata = MetaData()
    for table in tables.metadata.sorted_tables:
        table.to_metadata(metadata)
    Table(tables.endpoints.name, metadata, Column("owner", String), extend_existing=True)
    Table("dask_batch_extra", metadata, Column("id", Integer, primary_key=True))

    def step(connection):
        connection.execute(text("ALTER TABLE dask_batch_endpoints ADD COLUMN owner VARCHAR"))
        connection.execute(text("UPDATE dask_batch_endpoints SET owner = 'nobody'"))
        connection.execute(text("CREATE TABLE dask_batch_extra (id INTEGER PRIMARY KEY)"))

    return metadata, (*STEPS, step)


@pytest.fixture
def database(url):
    opened = Database(parse_url(url), 60.0)
    yield opened
    opened.close()


def owners(database):
    query = text("SELECT name, owner FROM dask_batch_endpoints ORDER BY name")
    return database.read("read owners", lambda connection: [tuple(row) for row in connection.execute(query)])


def test_an_older_catalog_is_migrated_and_keeps_what_it_holds(url, catalog, database):
    catalog.endpoints.create("heart", {"a": 1})
    for _ in range(2):  # the second time there is nothing left to do
        bring_up_to_date(database, *next_version())
    assert owners(database) == [("heart", "nobody")]


def test_a_catalog_of_a_newer_version_is_refused(url, catalog, database):
    bring_up_to_date(database, *next_version())
    with pytest.raises(CatalogError, match=r"has schema version 2, this dask-batch knows versions up to 1.*upgrade"):
        open_catalog(url)


def test_a_new_catalog_is_created_at_the_newest_version_without_steps(database):
    metadata, steps = next_version()

    def never(connection):
        raise AssertionError("a step ran")

    bring_up_to_date(database, metadata, [never for _ in steps])
    assert owners(database) == []


def test_a_step_that_fails_leaves_the_old_version(url, catalog, database):
    catalog.endpoints.create("heart", {"a": 1})
    metadata, steps = next_version()

    def failing(connection):
        steps[-1](connection)
        connection.execute(text("SELECT * FROM dask_batch_absent"))

    with pytest.raises(CatalogError, match="cannot create or migrate the schema"):
        bring_up_to_date(database, metadata, (*STEPS, failing))
    with open_catalog(url) as again:
        assert again.endpoints.get("heart").document == {"a": 1}
    bring_up_to_date(database, metadata, steps)


def test_other_tables_of_a_database_are_left_alone(postgres, postgres_url):
    name = parse_url(postgres_url).database
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE jobs (mine integer)")
        connection.execute("CREATE TABLE endpoints (mine integer)")
    with open_catalog(postgres_url) as catalog:
        catalog.endpoints.create("heart", {})
        assert catalog.count_jobs() == 0


# -- imports and documents ---------------------------------------------------------------------------------------------


def test_sqlalchemy_is_imported_with_the_catalog_only():
    script = (
        "import sys, dask_batch, dask_batch.errors\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "import dask_batch.catalog\n"
        "loaded = {'sqlalchemy', 'psycopg', 'pydantic', 'dask', 'pandas'} & set(sys.modules)\n"
        "assert loaded == {'sqlalchemy'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_document_comes_back_as_it_was(document):
    assert decode(encode(document, "it")) == document


def test_keys_that_are_no_text_are_refused_not_changed():
    with pytest.raises(InvalidDefinition, match="text keys"):
        encode({"a": {1: 2}}, "it")
