"""Several real processes and threads on one catalog."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time

import pytest

from dask_batch.catalog import open_catalog
from dask_batch.errors import CatalogError


def in_threads(count, call):
    """Return what `call(n)` returns for each n, all called at the same moment."""
    results = [None] * count
    barrier = threading.Barrier(count)

    def run(n):
        barrier.wait()
        try:
            results[n] = call(n)
        except Exception as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_eight_processes_that_create_one_name_exactly_one_succeeds(url, catalog, clients):
    said = clients.run(*[(url, "create_endpoint", "heart")] * 8)
    assert sorted(said) == ["AlreadyExists"] * 7 + ["done"]
    assert [record.name for record in catalog.endpoints.list()] == ["heart"]


def test_processes_that_open_a_new_catalog_at_once_create_its_schema_once(url, clients):
    said = clients.run(*[(url, "open", f"e{n}") for n in range(6)])
    assert said == ["done"] * 6
    with open_catalog(url) as catalog:
        assert len(catalog.endpoints.list()) == 6


def test_different_writes_of_many_processes_all_succeed(url, catalog, clients):
    said = clients.run(*[(url, "create_endpoints", f"p{n}", 25) for n in range(4)])
    assert said == [["done"] * 25] * 4
    assert len(catalog.endpoints.list()) == 100


def test_changes_by_a_function_are_never_lost(url, catalog, clients):
    catalog.endpoints.create("heart", {"n": 0})
    clients.run(*[(url, "increment", "heart", 20)] * 4)
    record = catalog.endpoints.get("heart")
    assert (record.document, record.revision) == ({"n": 80}, 81)


def test_processes_that_add_versions_without_a_number_get_a_number_each(url, catalog, clients):
    said = clients.run(*[(url, "add_assets", "m", 10)] * 4)
    assert sorted(int(version) for versions in said for version in versions) == list(range(1, 41))
    listed = [int(record.version) for record in catalog.assets.list("model", "m")]
    assert listed == list(range(40, 0, -1))


def test_an_idempotency_key_used_by_processes_makes_one_job(url, catalog, clients):
    keys = [f"k{n}" for n in range(10)]
    said = clients.run(*[(url, "add_jobs", keys, f"client{n}") for n in range(4)])
    for position in range(len(keys)):
        answers = [one[position] for one in said]
        assert len({name for name, _ in answers}) == 1
        assert sum(added for _, added in answers) == 1
    assert catalog.count_jobs() == 10


def test_an_idempotency_key_used_by_fifty_threads_makes_one_job(add_job, catalog):
    said = in_threads(50, lambda n: add_job(f"job-{n}", idempotency_key="k", tags={"n": str(n)}))
    assert len({one.record.name for one in said}) == 1
    assert [one.added for one in said].count(True) == 1
    assert catalog.count_jobs() == 1


def test_threads_share_one_catalog(catalog):
    in_threads(16, lambda n: catalog.computes.create(f"c{n}", {"n": n}))
    assert [record.document["n"] for record in catalog.computes.list()] == sorted(range(16), key=str)


def test_readers_never_fail_while_others_write(url, clients):
    jobs = [(url, "read_all", 100)] * 2 + [(url, "create_endpoints", f"p{n}", 50) for n in range(2)]
    assert clients.run(*jobs) == ["done"] * 2 + [["done"] * 50] * 2


def test_of_processes_that_create_an_endpoints_deployments_one_makes_the_default(url, catalog, clients):
    catalog.endpoints.create("heart", {})
    assert clients.run(*[(url, "create_deployment", "heart", f"d{n}") for n in range(5)]) == ["done"] * 5
    assert catalog.endpoints.get("heart").default_deployment in {f"d{n}" for n in range(5)}


def test_an_endpoint_never_loses_its_default_to_deletions_at_once(url, catalog, clients):
    catalog.endpoints.create("heart", {})
    for name in ("a", "b", "c"):
        catalog.deployments.create("heart", name, {})
    said = clients.run(*[(url, "delete_deployment", "heart", name) for name in ("a", "b", "c")])
    left = [record.name for record in catalog.deployments.list("heart")]
    assert said[1:] == ["done", "done"]
    # The default goes only if it is the last at that moment.
    assert (said[0], left) in [("done", []), ("Refused", ["a"])]
    assert catalog.endpoints.get("heart").default_deployment == (left[0] if left else None)


def test_a_writer_that_is_killed_inside_its_transaction_leaves_no_trace(url, catalog, clients):
    catalog.endpoints.create("heart", {"n": 1})
    holder = clients.start(url, "hold", "heart")
    assert clients.begin(holder) == "inside"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert catalog.endpoints.get("heart").document == {"n": 1}
    assert catalog.computes.list() == ()
    assert catalog.endpoints.update("heart", {"n": 2}).revision == 2


def test_a_catalog_that_stays_locked_is_an_error_that_says_what_could_not_be_done(url, catalog, clients):
    catalog.endpoints.create("heart", {"n": 1})
    with open_catalog(url, patience_s=0.2) as impatient:
        assert clients.begin(clients.start(url, "hold", "heart")) == "inside"
        with pytest.raises(CatalogError, match=r"cannot update endpoint 'heart': catalog .* has been locked"):
            impatient.endpoints.update("heart", {"n": 2})


def test_who_holds_the_lock_of_a_file_is_named(sqlite_url, catalog_file):
    with open_catalog(sqlite_url, patience_s=0.2) as catalog:
        holding = sqlite3.connect(catalog_file, isolation_level=None)
        holding.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            CatalogError, match=rf"cannot create endpoint 'x'.*locked by process {os.getpid()} \(.*python"
        ):
            catalog.endpoints.create("x", {})
        assert catalog.endpoints.list() == ()
        holding.execute("ROLLBACK")
        holding.close()
        assert catalog.endpoints.create("x", {}).revision == 1


def test_a_writer_waits_for_a_lock_that_is_held_longer_than_the_databases_own_wait(sqlite_url, catalog_file):
    with open_catalog(sqlite_url) as catalog:
        holding = sqlite3.connect(catalog_file, isolation_level=None, check_same_thread=False)
        holding.execute("BEGIN EXCLUSIVE")
        threading.Timer(2.5, lambda: holding.execute("ROLLBACK")).start()
        began = time.monotonic()
        assert catalog.endpoints.create("x", {}).name == "x"
        assert time.monotonic() > began
        holding.close()
