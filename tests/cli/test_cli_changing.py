"""``--set`` and ``update`` through the real command: what is written is what is meant, and nothing else changes."""

from __future__ import annotations

import pytest

SCRIPT = "def init(): pass\ndef run(mini_batch): return mini_batch\n"
DEPLOYMENT = "name: v1\ncode_configuration: {code: src, scoring_script: score.py}\nsettings: {mini_batch_size: 2}\n"


def fails(answer, *parts):
    assert (answer.code, answer.out) == (1, ""), answer
    assert answer.err.count("\n") == 1, answer.err
    for part in parts:
        assert part in answer.err


@pytest.fixture
def made(shell):
    """An endpoint ``e`` with a deployment ``v1`` from a file that says neither model nor endpoint."""
    (shell.folder / "src").mkdir()
    (shell.folder / "src" / "score.py").write_text(SCRIPT)
    (shell.folder / "weights.bin").write_text("1")
    (shell.folder / "d").mkdir()
    (shell.folder / "d" / "deployment.yml").write_text(DEPLOYMENT.replace("src", "../src"))
    shell.ok("model", "create", "--name", "m", "--path", "weights.bin")
    shell.ok("endpoint", "create", "--name", "e")
    shell.ok(
        "deployment", "create", "--file", "d/deployment.yml", "--skip-script-validation",
        "--set", "endpoint_name=e", "model=azureml:m@latest", "environment_variables.ZIP=02134",
        "settings.environment_variables.EMPTY=", "tags.since=1:30", "properties.on=true",
    )  # fmt: skip
    return shell


def show(shell):
    return shell.json("deployment", "show", "-n", "v1", "-e", "e")


def update(shell, *sets):
    return shell("deployment", "update", "-n", "v1", "-e", "e", "--skip-script-validation", "--set", *sets)


class TestDeployments:
    def test_a_file_is_completed_by_set_before_it_is_read(self, made):
        shown = show(made)
        assert (shown["endpoint_name"], shown["model"], shown["mini_batch_size"]) == ("e", "azureml:m@latest", 2)
        assert shown["environment_variables"] == {"ZIP": "02134", "EMPTY": ""}
        assert (shown["tags"], shown["properties"]) == ({"since": "1:30"}, {"on": "true"})
        assert shown["code"] == str(made.folder / "d" / ".." / "src")

    def test_an_update_keeps_what_was_pinned_unless_it_is_named(self, made):
        before = show(made)["snapshot"]
        assert made.json("deployment", "update", "-n", "v1", "-e", "e")["revision"] == 1
        made.ok("model", "create", "--name", "m", "--path", "src")
        (made.folder / "src" / "score.py").unlink()
        answer = update(
            made, "mini_batch_size=20", "retry_settings.timeout=9", "settings.max_retries=1", "instance_count=3"
        )
        assert answer.code == 0, answer.err
        after = show(made)
        assert after["snapshot"]["model"] == before["model"] and after["snapshot"]["code"] == before["code"]
        assert (after["mini_batch_size"], after["timeout"], after["max_retries"]) == (20, 9, 1)
        assert (after["instance_count"], after["revision"]) == (3, 2)
        (made.folder / "src" / "score.py").write_text(SCRIPT)
        assert update(made, "model=azureml:m@latest").code == 0
        assert show(made)["snapshot"]["model"]["version"] == "2"
        assert update(made, "settings.output_action=summary_only").code == 0
        assert show(made)["output_action"] == "summary_only"

    def test_what_cannot_be_is_said_with_what_was_written(self, made):
        fails(update(made, "timeout=1:30"), "'1:30'", "must be a number of seconds")
        fails(update(made, "logging_level=off"), "'off'", "'warning', 'info' or 'debug'")
        fails(update(made, "mini_batch_size=5", "settings.mini_batch_size=6"), "says again what mini_batch_size says")
        fails(update(made, "mini_batchsize=5"), "did you mean")
        fails(update(made, "name=other"), "'v1'", "renamed")
        fails(update(made, "endpoint_name=other"), "'v1'", "moved")
        assert [one["name"] for one in made.json("deployment", "list", "-e", "e")] == ["v1"]


class TestOthers:
    def test_every_create_takes_set(self, shell):
        (shell.folder / "in").mkdir()
        (shell.folder / "w.bin").write_text("1")
        (shell.folder / "c.yml").write_text("name: c\ntype: AmlCompute\nmin_instances: 0\n")
        compute = shell.json("compute", "create", "-f", "c.yml", "--set", "max_instances=3", "name=c2", "slots=2")
        assert (compute["name"], compute["max_instances"], compute["slots"]) == ("c2", 3, 2)
        assert shell.json("data", "create", "--set", "name=d", "path=in")["path"] == str(shell.folder / "in")
        assert shell.json("model", "create", "--set", "name=m", "path=w.bin", "tags.x=010")["tags"] == {"x": "010"}
        made = shell.json("environment", "create", "--set", "name=env", "requirements=[numpy]", "version=1.10")
        assert (made["version"], made["requirements"]) == ("1.10", ["numpy"])
        made = shell.json("endpoint", "create", "--set", "name=e", "defaults.deployment_name=blue")
        assert (made["defaults"], made["default_deployment"]) == ({"deployment_name": "blue"}, None)

    def test_what_is_said_about_an_asset_changes(self, shell):
        (shell.folder / "in").mkdir()
        shell.ok("data", "create", "--name", "d", "--path", "in")
        changed = shell.json("data", "update", "-n", "d", "--description", "new", "--tag", "a=1", "--set", "tags.b=02")
        assert (changed["description"], changed["tags"], changed["version"]) == ("new", {"a": "1", "b": "02"}, "1")
        fails(shell("data", "update", "-n", "d", "--set", "path=x"), "path of data 'd:1' cannot change")

    def test_nothing_is_renamed_and_nothing_happens_by_halves(self, shell):
        shell.ok("endpoint", "create", "--name", "e", "--description", "old")
        fails(shell("endpoint", "update", "-n", "e", "--set", "name=f"), "cannot be renamed to 'f'")
        fails(shell("compute", "update", "-n", "local", "--set", "name=f"), "cannot be renamed to 'f'")
        fails(
            shell("endpoint", "update", "-n", "e", "--description", "new", "--set", "defaults.deployment_name=nope"),
            "no deployment 'nope'",
        )
        assert [(one["name"], one["description"]) for one in shell.json("endpoint", "list")] == [("e", "old")]
        assert [one["name"] for one in shell.json("compute", "list")] == ["local"]
        shell.ok("compute", "delete", "-n", "local", "--yes")
