"""Error records hold what a person needs, however odd the exception is."""

from __future__ import annotations

import json

import pytest

from dask_batch.scoring.records import MAX_TRACEBACK, error_record


def raised(action):
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no")


class Exits(Exception):
    def __str__(self):
        raise SystemExit(1)


class Unpicklable(Exception):
    def __init__(self, handle):
        super().__init__("has a handle")
        self.handle = handle

    def __reduce__(self):
        raise TypeError("no")


@pytest.mark.parametrize(
    "odd", [Mute(), Exits(), Unpicklable(open), ValueError("\ud800"), KeyError("a"), SystemExit(2)]
)
def test_odd_exceptions_become_records(odd):
    def fail():
        raise odd

    record = error_record(raised(fail), stage="predict")
    assert record["type"] == type(odd).__name__
    assert "fail" in record["traceback"]
    json.dumps(record).encode()


def test_a_missing_key_reads_as_a_sentence():
    assert error_record(raised(lambda: {}["age"]), stage="predict")["message"] == "key 'age' is missing"


def test_a_call_of_sys_exit_says_so():
    assert error_record(SystemExit(3), stage="predict")["message"] == "user code called sys.exit(3)"


def test_deep_recursion_becomes_a_short_record():
    def dive(n):
        return dive(n + 1)

    record = error_record(raised(lambda: dive(0)), stage="predict")
    assert record["type"] == "RecursionError"
    assert "dive" in record["traceback"]
    assert len(record["traceback"]) <= MAX_TRACEBACK


def test_long_messages_and_tracebacks_are_cut_with_both_ends_kept():
    def fail():
        raise ValueError("begin " + "x" * 100_000 + " end")

    record = error_record(raised(fail), stage="predict")
    assert len(record["traceback"]) <= MAX_TRACEBACK
    assert record["traceback"].startswith("Traceback")
    assert record["traceback"].endswith("end")
    assert "100,010 characters" in record["message"]


def test_causes_are_kept():
    def fail():
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("cannot score") from error

    text = error_record(raised(fail), stage="predict")["traceback"]
    assert "invalid literal" in text
    assert "direct cause" in text
