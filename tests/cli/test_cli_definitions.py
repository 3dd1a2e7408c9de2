"""Endpoints, computes and assets through the real command; errors and exit codes."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pty
import signal
import sqlite3
import subprocess

import pytest
import yaml


def says_one_line(answer, *parts):
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1, answer.err
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in answer.err


class TestEndpoints:
    def test_live_from_creation_to_deletion(self, shell):
        made = shell.json("endpoint", "create", "--name", "heart", "--description", "at risk?", "--tag", "team=ml")
        assert (made["name"], made["description"], made["tags"]) == ("heart", "at risk?", {"team": "ml"})
        assert made["defaults"] == {"deployment_name": None}
        changed = shell.json("endpoint", "update", "-n", "heart", "--set", "description=new", "tags.stage=dev")
        assert (changed["description"], changed["tags"]) == ("new", {"team": "ml", "stage": "dev"})
        assert shell.json("endpoint", "show", "-n", "heart") == changed
        assert shell.json("endpoint", "list") == [changed]
        shell.ok("endpoint", "delete", "-n", "heart", "--yes")
        assert shell.json("endpoint", "list") == []

    def test_come_from_files_in_the_grammar_of_azure(self, shell):
        (shell.folder / "endpoint.yml").write_text("name: heart\nauth_mode: aad_token\ndescription: from the file\n")
        answer = shell.ok("endpoint", "create", "-f", "endpoint.yml", "--name", "heart2", "-o", "yaml")
        assert yaml.safe_load(answer.out)["name"] == "heart2"
        assert yaml.safe_load(answer.out)["description"] == "from the file"
        assert answer.err == "warning: endpoint.yml: these keys mean nothing here and are ignored: auth_mode\n"

    def test_are_listed_as_a_table_for_people_and_as_csv(self, shell):
        for name in ("b", "a"):
            shell.ok("endpoint", "create", "--name", name)
        lines = shell.ok("endpoint", "list").out.splitlines()
        assert lines[0].split()[:2] == ["name", "default_deployment"]
        assert [line.strip() for line in lines[2:]] == ["a", "b"]
        rows = list(csv.DictReader(io.StringIO(shell.ok("endpoint", "list", "-o", "csv").out)))
        assert [row["name"] for row in rows] == ["a", "b"]

    def test_that_exist_are_not_created_again(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        says_one_line(shell("endpoint", "create", "--name", "heart"), "'heart'")

    def test_that_do_not_exist_are_named_with_those_that_do(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        says_one_line(shell("endpoint", "show", "-n", "hart"), "'hart'", "did you mean 'heart'?")
        says_one_line(shell("endpoint", "update", "-n", "hart", "--description", "x"), "'hart'")

    def test_are_not_deleted_by_a_script_that_did_not_say_yes(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        says_one_line(shell("endpoint", "delete", "-n", "heart"), "--yes")
        assert [endpoint["name"] for endpoint in shell.json("endpoint", "list")] == ["heart"]

    def test_are_deleted_when_a_person_says_yes(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        person, terminal = pty.openpty()
        os.write(person, b"y\n")
        try:
            assert shell("endpoint", "delete", "-n", "heart", stdin=terminal).code == 0
        finally:
            os.close(person)
            os.close(terminal)
        assert shell.json("endpoint", "list") == []


class TestComputes:
    def test_live_from_creation_to_deletion(self, shell):
        made = shell.json("compute", "create", "--name", "four", "--type", "local", "--slots", "4")
        assert (made["slots"], made["state"], made["host"]["alive"], made["host"]["epoch"]) == (4, "absent", False, 0)
        changed = shell.json("compute", "update", "-n", "four", "--max-instances", "2", "--set", "slots=3")
        assert (changed["slots"], changed["max_instances"]) == (3, 2)
        assert shell.json("compute", "update", "-n", "four", "--slots", "2")["slots"] == 2
        assert [compute["name"] for compute in shell.json("compute", "list")] == ["four", "local"]
        shell.ok("compute", "delete", "-n", "four", "-y")
        assert [compute["name"] for compute in shell.json("compute", "list")] == ["local"]

    def test_of_azure_are_read_as_local(self, shell):
        answer = shell.ok(
            "compute", "create", "--name", "cpu", "--type", "amlcompute", "--size", "Standard_D2", "-o", "json"
        )
        assert answer.json["type"] == "local"
        assert answer.err.startswith("warning: ")
        assert "size" in answer.err

    def test_start_and_stop(self, shell, eventually):
        shell.ok("compute", "start", "-n", "local")
        try:
            shown = eventually(
                lambda: (now := shell.json("compute", "show", "-n", "local"))["host"]["alive"] and now,
                "a host lives",
                60,
            )
            assert (shown["state"], shown["host"]["epoch"], shown["host"]["owner"]) == ("running", 1, "tester")
        finally:
            stopped = shell.json("compute", "stop", "-n", "local")
        assert (stopped["state"], stopped["host"]["process"]) == ("absent", None)


class TestAssets:
    def test_data_has_versions(self, shell):
        (shell.folder / "in").mkdir()
        for _ in range(2):
            shell.ok("data", "create", "--name", "patients", "--path", "in", "--type", "uri_folder")
        assert [(one["name"], one["version"]) for one in shell.json("data", "list")] == [
            ("patients", "2"),
            ("patients", "1"),
        ]
        shown = shell.json("data", "show", "-n", "patients", "-v", "1")
        assert shown["path"] == str(shell.folder / "in")
        shell.ok("data", "delete", "-n", "patients", "-v", "1", "-y")
        says_one_line(shell("data", "show", "-n", "patients", "-v", "1"), "patients")
        shell.ok("data", "delete", "-n", "patients", "-y")
        assert shell.json("data", "list") == []

    def test_models_are_copied_in(self, shell):
        (shell.folder / "weights.bin").write_bytes(b"123")
        (shell.folder / "model.yml").write_text("name: heart\npath: weights.bin\ntype: custom_model\n")
        made = shell.json("model", "create", "-f", "model.yml")
        assert made["version"] == "1"
        assert made["path"].startswith(str(shell.root))
        says_one_line(shell("model", "create", "--name", "lung", "--path", "nowhere"), "nowhere", "does not exist")

    def test_environments_are_read_when_they_are_registered(self, shell):
        (shell.folder / "requirements.txt").write_text("numpy\npandas>=2\n")
        made = shell.json("environment", "create", "--name", "plain", "--requirements", "requirements.txt")
        assert list(made["requirements"]) == ["numpy", "pandas>=2"]
        assert shell.json("environment", "list", "-n", "plain") == [made]


class TestTheCommandLine:
    def test_options_may_stand_before_the_noun_and_the_later_ones_win(self, shell):
        elsewhere = str(shell.folder / "elsewhere")
        shell.ok("endpoint", "create", "--name", "heart", "--root", elsewhere)
        assert shell.json("endpoint", "list") == []
        found = shell.ok("--root", elsewhere, "-o", "yaml", "endpoint", "list", "-o", "json").json
        assert [endpoint["name"] for endpoint in found] == ["heart"]

    def test_what_is_not_understood_ends_with_2(self, shell):
        for arguments in (["endpoint", "shwo"], ["endpoint", "show"], ["job", "list", "--limit", "x"], ["--nope"]):
            answer = shell(*arguments)
            assert (answer.code, answer.out) == (2, ""), arguments
            assert "Traceback" not in answer.err

    def test_an_error_has_a_traceback_only_with_debug(self, shell):
        says_one_line(shell("job", "show", "-n", "nope"), "nope")
        answer = shell("job", "show", "-n", "nope", "--debug")
        assert answer.code == 1
        assert "Traceback" in answer.err
        assert "NotFound" in answer.err

    def test_a_mistake_in_a_file_is_named_with_its_line(self, shell):
        (shell.folder / "endpoint.yml").write_text("name: heart\ndescripton: x\n")
        says_one_line(shell("endpoint", "create", "-f", "endpoint.yml"), "endpoint.yml:2", "'description'")
        says_one_line(shell("endpoint", "create", "-f", "nowhere.yml"), "nowhere.yml", "no such file")

    def test_missing_names_are_asked_for(self, shell):
        says_one_line(shell("endpoint", "create"), "name is missing")
        says_one_line(shell("endpoint", "update", "--description", "x"), "--name is missing")

    def test_a_root_that_cannot_be_written_is_one_line(self, shell):
        (shell.folder / "file").write_text("")
        says_one_line(shell("endpoint", "list", "--root", str(shell.folder / "file" / "ws")), "file/ws")

    def test_a_reader_that_goes_away_is_no_error(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        read, write = os.pipe()
        os.close(read)
        try:
            answer = shell("endpoint", "list", "-o", "json", stdout=write)
        finally:
            os.close(write)
        assert (answer.code, answer.err) == (1, "")

    def test_letters_that_the_terminal_does_not_know_are_escaped(self, shell):
        shell.ok("endpoint", "create", "--name", "heart", "--description", "für alle")
        plain = shell.environment() | {"PYTHONIOENCODING": "ascii"}
        answer = shell("endpoint", "show", "-n", "heart", env=plain)
        assert (answer.code, "f\\xfcr alle" in answer.out) == (0, True)

    def test_what_nobody_thought_of_is_one_line_too(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        with contextlib.closing(sqlite3.connect(shell.root / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("UPDATE dask_batch_endpoints SET document = '{'")
        answer = shell("endpoint", "show", "-n", "heart")
        says_one_line(answer, "internal error: JSONDecodeError: ", "--debug for the traceback")
        assert "Traceback" in shell("endpoint", "show", "-n", "heart", "--debug").err

    def test_numbers_that_no_catalog_counts_to_are_refused(self, shell):
        answer = shell("job", "list", "--limit", "9" * 20)
        assert (answer.code, answer.out) == (2, "")
        assert "--limit" in answer.err and "Traceback" not in answer.err

    @pytest.mark.parametrize(("answered", "code"), [("interrupt", 130), (b"n\n", 1), (b"\x04", 1)])
    def test_a_question_that_is_not_answered_with_yes_does_nothing(self, shell, answered, code):
        shell.ok("endpoint", "create", "--name", "heart")
        person, terminal = pty.openpty()
        try:
            with shell.start("endpoint", "delete", "-n", "heart", stdin=terminal) as process:
                said = ""
                while "?" not in said:
                    said += process.stderr.read(1)
                if answered == "interrupt":
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(person, answered)
                process.communicate(timeout=60)
        finally:
            os.close(person)
            os.close(terminal)
        assert process.returncode == code
        assert [one["name"] for one in shell.json("endpoint", "list")] == ["heart"]

    def test_a_job_of_which_there_is_a_name_only_can_be_removed(self, shell):
        shell.ok("endpoint", "create", "--name", "heart")
        with contextlib.closing(sqlite3.connect(shell.root / "catalog.sqlite")) as catalog, catalog:
            catalog.execute(
                "INSERT INTO dask_batch_jobs (name, endpoint, deployment, compute, owner, created, tags, document) "
                "VALUES ('half', 'heart', 'd', 'local', 'tester', '2026-11-03', '{}', '{}')"
            )
        for verb in ("show", "cancel"):
            says_one_line(shell("job", verb, "-n", "half"), "broke off", "`dask-batch job delete -n half` removes it")
        shell.ok("job", "delete", "-n", "half", "--yes")
        says_one_line(shell("job", "show", "-n", "half"), "no job 'half'; there are no jobs yet")

    def test_without_a_noun_there_is_help(self, shell):
        answer = shell("compute", stderr=subprocess.STDOUT)
        assert "Commands:" in answer.out
