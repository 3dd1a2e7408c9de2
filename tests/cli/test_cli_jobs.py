"""Deploying, invoking and looking at jobs through the real command, with a real host."""

from __future__ import annotations

import csv
import io
import json
import signal

import pytest

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def job(deployed):
    """The name of a job that has completed, with one failed file of six."""
    answer = deployed.ok(
        "endpoint", "invoke", "-n", "text", "--input", "in", "--wait", "--set", "settings.mini_batch_size=3",
        "--tag", "team=ml", "-o", "json",
    )  # fmt: skip
    assert (answer.json["status"], answer.json["counts"]["failed"]) == ("Completed", 1)
    return answer.json["name"]


@pytest.fixture
def slow(deployed):
    """The name of a job that takes minutes; canceled afterwards if it still runs."""
    answer = deployed.ok(
        "endpoint", "invoke", "-n", "text", "--input", "in/1.txt", "--param", "sleep=200", "--set", "timeout=300"
    )
    name = answer.out.strip()
    yield name
    deployed("job", "cancel", "-n", name)


class TestDeployments:
    def test_are_shown_as_they_were_asked_for_and_pinned(self, deployed):
        shown = deployed.json("deployment", "show", "-n", "lengths", "-e", "text")
        assert (shown["kind"], shown["is_default"], shown["mini_batch_size"]) == ("script", True, 2)
        assert shown["snapshot"]["code"]["scoring_script"] == "score.py"
        assert [one["name"] for one in deployed.json("deployment", "list", "-e", "text")] == ["lengths"]

    def test_that_do_not_load_are_refused_with_the_traceback_of_the_user(self, deployed):
        (deployed.folder / "broken").mkdir()
        (deployed.folder / "broken" / "score.py").write_text("import no_such_package_anywhere\n")
        definition = (deployed.folder / "deployment.yml").read_text().replace("code: src", "code: broken")
        (deployed.folder / "broken.yml").write_text(definition.replace("name: lengths", "name: broken"))
        answer = deployed("deployment", "create", "-f", "broken.yml")
        assert answer.code == 1
        assert answer.err.startswith("error: ")
        assert "no_such_package_anywhere" in answer.err
        assert "dask_batch/cli" not in answer.err

    def test_are_replaced_by_changed_ones(self, deployed):
        deployed.ok("deployment", "create", "-f", "deployment.yml", "--name", "second")
        changed = deployed.json(
            "deployment", "update", "-n", "second", "-e", "text", "--set", "settings.mini_batch_size=5"
        )
        assert (changed["mini_batch_size"], changed["revision"], changed["is_default"]) == (5, 2, False)
        deployed.ok("deployment", "delete", "-n", "second", "-e", "text", "--yes")
        assert deployed("deployment", "show", "-n", "second", "-e", "text").code == 1

    def test_are_tried_without_a_job(self, deployed):
        result = deployed.json("deployment", "test", "-n", "lengths", "-e", "text", "--input", "in")
        assert (len(result["outputs"]), len(result["errors"])) == (5, 1)
        assert "the model is loaded" in result["log"]

    def test_are_estimated_without_a_job(self, deployed):
        assert deployed.json("endpoint", "estimate", "-n", "text", "--input", "in")["items"] == 6


class TestAFinishedJob:
    def test_is_shown_complete(self, deployed, job):
        shown = deployed.json("job", "show", "-n", job)
        assert (shown["status"], shown["progress"], shown["endpoint"]) == ("Completed", 1.0, "text")
        assert (shown["settings"]["mini_batch_size"], shown["tags"]) == (3, {"team": "ml"})
        assert shown["first_error"]["message"] == "this text is bad"

    def test_is_listed_by_what_it_is(self, deployed, job):
        for given in (["--tag", "team=ml"], ["--status", "Completed", "--endpoint", "text"]):
            assert job in [one["name"] for one in deployed.json("job", "list", *given)]
        assert deployed.json("job", "list", "--status", "Failed", "--tag", "team=ml") == []
        assert deployed("job", "list", "--status", "Complete").code == 1
        assert job in deployed.ok("endpoint", "list-jobs", "-n", "text").out

    def test_has_results_as_table_json_and_csv(self, deployed, job):
        rows = deployed.json("job", "results", "-n", job)
        assert [row["prediction"] for row in rows] == [1, 2, 3, 4, 5]
        parsed = list(csv.DictReader(io.StringIO(deployed.ok("job", "results", "-n", job, "-o", "csv").out)))
        assert [int(row["prediction"]) for row in parsed] == [1, 2, 3, 4, 5]
        answer = deployed.ok("job", "results", "-n", job, "--limit", "2")
        assert len(answer.out.splitlines()) == 4
        assert answer.err.startswith("the first 2 of 5")

    def test_has_errors_and_mini_batches(self, deployed, job):
        (error,) = deployed.json("job", "errors", "-n", job)
        assert error["file"] == str(deployed.folder / "in" / "6.txt")
        assert "score.py" in error["traceback"]
        assert "traceback" not in deployed.ok("job", "errors", "-n", job).out
        assert [one["items"] for one in deployed.json("job", "mini-batches", "-n", job)] == [3, 3]

    def test_has_logs(self, deployed, job):
        assert "the model is loaded" in deployed.ok("job", "logs", "-n", job).out
        assert job in deployed.json("job", "logs", "-n", job, "--kind", "host")["logs"]
        assert deployed("job", "logs", "-n", job, "--kind", "other").code == 2

    def test_is_downloaded(self, deployed, job):
        folder = deployed.ok("job", "download", "-n", job, "-p", "here").out.strip()
        assert folder == str(deployed.folder / "here")
        assert (deployed.folder / "here" / "predictions.csv").exists()

    def test_can_be_waited_for_and_not_be_canceled(self, deployed, job):
        assert deployed.json("job", "wait", "-n", job)["status"] == "Completed"
        assert deployed("job", "cancel", "-n", job).code == 1

    def test_streams_its_logs_to_standard_output_alone(self, deployed, job):
        answer = deployed.ok("job", "stream", "-n", job)
        assert set(answer.out.splitlines()) == {"the model is loaded"}
        assert f"[{job}] Completed" in answer.err


class TestInvoking:
    def test_prints_the_name_alone_and_the_same_for_the_same_key(self, deployed):
        once, again = (
            deployed.ok("endpoint", "invoke", "-n", "text", "--input", "in/1.txt", "--idempotency-key", "k").out
            for _ in range(2)
        )
        assert once == again
        assert once.count("\n") == 1
        deployed.ok("job", "wait", "-n", once.strip())
        deployed.ok("job", "delete", "-n", once.strip(), "-y")
        assert deployed("job", "show", "-n", once.strip()).code == 1

    def test_takes_a_file_of_inputs_and_an_output_path(self, deployed):
        (deployed.folder / "inputs.yml").write_text("inputs: {texts: {type: uri_file, path: in/2.txt}}\n")
        made = deployed.json(
            "endpoint", "invoke", "-n", "text", "-f", "inputs.yml", "--output-path", "out", "--job-name", "chosen",
            "--output-file-name", "lengths.jsonl", "--wait",
        )  # fmt: skip
        assert made["name"] == "chosen"
        assert '"prediction":2' in (deployed.folder / "out" / "lengths.jsonl").read_text().replace(" ", "")

    def test_exits_1_when_the_job_fails_and_says_why_in_the_words_of_the_user(self, deployed):
        answer = deployed(
            "endpoint", "invoke", "-n", "text", "--input", "in", "--set", "error_threshold=0", "--wait", "-o", "json"
        )
        assert (answer.code, answer.json["status"]) == (1, "Failed")
        _, _, error = answer.err.partition("error: job ")
        assert "failed: " in error
        assert "ValueError: this text is bad" in error
        assert f"dask-batch job errors -n {answer.json['name']}" in error
        assert "dask_batch/" not in error
        name = answer.json["name"]
        twice = deployed("job", "resume", "-n", name, "--set", "timeout=5", "retry_settings.timeout=9")
        assert (twice.code, "timeout is given twice" in twice.err) == (1, True)
        resumed = deployed.json(
            "job", "resume", "-n", name, "--wait",
            "--set", "settings.error_threshold=-1", "environment_variables.ZIP=02134", "logging_level=debug",
        )  # fmt: skip
        assert (resumed["status"], resumed["run"]) == ("Completed", 2)
        run = json.loads((deployed.root / "jobs" / name / "run-2.json").read_text())
        assert run["overrides"] == {
            "error_threshold": -1, "environment_variables": {"ZIP": "02134"}, "logging_level": "debug"
        }  # fmt: skip
        assert deployed("job", "resume", "-n", name).code == 1

    def test_a_resumed_job_keeps_what_its_plan_fixed(self, deployed, slow):
        deployed.ok("job", "cancel", "-n", slow)
        answer = deployed("job", "resume", "-n", slow, "--set", "settings.mini_batch_size=5")
        assert answer.code == 1
        assert "mini_batch_size cannot change" in answer.err

    @pytest.mark.parametrize(
        ("arguments", "parts"),
        [
            (["--input", "nowhere"], ["nowhere"]),
            ([], ["--input"]),
            (["--input", "in", "--set", "settings.mini_batch_sze=3"], ["mini_batch_size"]),
            (["--input", "in", "--mini-batch-size", "0"], ["mini_batch_size"]),
            (["--input", "in", "-d", "lenghts"], ["did you mean 'lengths'?"]),
            (["--input", "in", "--job-name", "a/b"], ["a/b"]),
        ],
    )
    def test_refuses_at_once_what_cannot_be(self, deployed, arguments, parts):
        answer = deployed("endpoint", "invoke", "-n", "text", *arguments)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("error: ")
        assert "Traceback" not in answer.err
        assert all(part in answer.err for part in parts), answer.err


class TestALongJob:
    def test_goes_on_when_the_one_who_waits_is_interrupted(self, deployed, slow):
        with deployed.start("job", "wait", "-n", slow) as waiting:
            assert waiting.stderr is not None
            first = waiting.stderr.readline()
            waiting.send_signal(signal.SIGINT)
            rest = waiting.stderr.read()
        assert first.startswith(slow)
        assert waiting.returncode == 130
        assert f"job {slow!r} goes on; come back with dask-batch job wait -n {slow}" in rest
        assert "Traceback" not in rest
        assert deployed.json("job", "show", "-n", slow)["status"] not in ("Failed", "Canceled", "Interrupted")

    def test_ends_the_wait_with_an_error_when_the_time_is_over(self, deployed, slow):
        answer = deployed("job", "wait", "-n", slow, "--timeout", "0.2")
        assert answer.code == 1
        assert "goes on" in answer.err

    def test_is_canceled_and_then_fails_who_waits_for_it(self, deployed, slow, eventually):
        eventually(lambda: deployed.json("job", "show", "-n", slow)["status"] == "Running", "the job runs", 90)
        assert deployed.json("job", "cancel", "-n", slow)["status"] == "Canceled"
        answer = deployed("job", "wait", "-n", slow)
        assert answer.code == 1
        assert "was canceled" in answer.err
        assert deployed("job", "results", "-n", slow).code == 1
