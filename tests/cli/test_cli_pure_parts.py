"""What the command does without a workspace: values, tables, invocations."""

from __future__ import annotations

import ast
import csv
import datetime
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import dask_batch
from dask_batch import errors
from dask_batch.cli.invocation import merge, read_invocation
from dask_batch.cli.options import Format
from dask_batch.cli.render import plain, render_one, render_rows
from dask_batch.cli.values import changes, edited, literals, pairs, scalar, tags
from dask_batch.cli.words import in_shell_words
from dask_batch.errors import InvalidDefinition


def texts_of_errors(*places):
    """The messages of errors that code makes, with ``{…}`` in them filled in."""
    root = Path(dask_batch.__file__).parent
    for file in [file for place in places for file in sorted(root.glob(place))]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in errors.__all__:
                yield from (said for argument in node.args if (said := filled_in(argument)))


def filled_in(text):
    if isinstance(text, ast.FormattedValue):
        return "'x'" if text.conversion == ord("r") else "x"
    if isinstance(text, ast.JoinedStr):
        return "".join(filled_in(part) for part in text.values)
    return text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(st.text(min_size=1), values, max_size=4), max_size=5)


class TestAnswers:
    @given(records)
    def test_json_is_always_valid_and_complete(self, rows):
        def no_constant(name):
            raise AssertionError(name)

        assert json.loads(render_rows(rows, Format.JSON), parse_constant=no_constant) == [plain(row) for row in rows]

    @given(records)
    def test_a_table_has_a_line_per_record_and_no_control_character(self, rows):
        keys = list(dict.fromkeys(key for row in rows for key in row))
        lines = render_rows(rows, Format.TABLE, ["name"]).split("\n")
        assert len(lines) == len(rows) + 3, keys
        assert all(line.isprintable() for line in lines)

    @given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.integers()}), max_size=4))
    def test_csv_reads_back(self, rows):
        text = render_rows(rows, Format.CSV)
        # csv readers end a record at a bare carriage return that is not quoted
        expected = [
            {"a": row["a"], "b": str(row["b"])} for row in rows if "\r" not in row["a"] and "\0" not in row["a"]
        ]
        if len(expected) == len(rows):
            assert list(csv.DictReader(io.StringIO(text, newline=""))) == expected

    @given(
        st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans() | st.sampled_from(["no", "1", "x: y"]))
    )
    def test_yaml_reads_back(self, record):
        assert yaml.safe_load(render_one(record, Format.YAML)) == record

    def test_values_of_dataframes_become_plain(self):
        frame = pd.DataFrame(
            {
                "n": np.array([1, 2], dtype="int32"),
                "x": [0.1 + 0.2, float("nan")],
                "t": [pd.Timestamp("2026-11-03 10:15"), pd.NaT],
                "v": [np.array([1.5, 2.5]), None],
                "d": [datetime.date(2026, 11, 3), None],
            }
        )
        assert plain(frame.to_dict("records")) == [
            {"n": 1, "x": 0.1 + 0.2, "t": "2026-11-03T10:15:00", "v": [1.5, 2.5], "d": "2026-11-03"},
            {"n": 2, "x": None, "t": None, "v": None, "d": None},
        ]

    def test_long_cells_are_cut_in_tables_only(self):
        row = {"message": "m" * 200}
        assert "…" in render_rows([row], Format.TABLE)
        assert json.loads(render_rows([row], Format.JSON)) == [row]
        assert "m" * 200 in render_one(row, Format.TABLE)


class TestAdvice:
    def test_methods_become_commands_and_tracebacks_stay_as_they_are(self):
        message = (
            "job 'a' failed\n\n  File x\n    job.results()\n\nnext: job.results(partial=True) or job.mini_batches()"
        )
        assert in_shell_words(message) == (
            "job 'a' failed\n\n  File x\n    job.results()\n\n"
            "next: `dask-batch job results -n a --partial` or `dask-batch job mini-batches -n a`"
        )

    @pytest.mark.parametrize(
        ("python", "shell"),
        [
            (
                "endpoint 'e' has no deployment; ep.deploy(ModelDeployment(…)) makes one",
                "endpoint 'e' has no deployment; `dask-batch deployment create -e e -f FILE` makes one",
            ),
            (
                "endpoint 'e' has a deployment 'd' already; replace it with deploy(…, replace=True), or choose",
                "endpoint 'e' has a deployment 'd' already; replace it with "
                "`dask-batch deployment update -e e -f FILE`, or choose",
            ),
            (
                "endpoint 'e' has no default deployment; name one (deployment=…), or set ep.default_deployment = …; x",
                "endpoint 'e' has no default deployment; name one (--deployment-name …), "
                "or `dask-batch endpoint update -n e --default-deployment NAME`; x",
            ),
            ("or deploy it with ws.endpoints['e'].deploy(…)", "or deploy it with -e e"),
            ("wait for them, or delete with cancel_jobs=True", "wait for them, or delete with --cancel-jobs"),
            ("or take it with overwrite=True", "or take it with --overwrite"),
            (
                "job 'j' is Running; wait() for it, or results(partial=True) reads the 3 rows it has so far",
                "job 'j' is Running; wait for it (`dask-batch job wait -n j`), "
                "or `dask-batch job results -n j --partial` reads the 3 rows it has so far",
            ),
            (
                "job 'j' is Running; cancel() it before delete()",
                "job 'j' is Running; cancel it first: `dask-batch job cancel -n j`",
            ),
            ("choose another job_name=, or leave it out", "choose another --job-name, or leave it out"),
            (
                "output='x/rows.csv' is a folder; name the file: output_file_name='rows.csv'",
                "--output-path 'x/rows.csv' is a folder; name the file: --output-file-name 'rows.csv'",
            ),
            (
                "no job 'j' in '/ws'; ws.jobs.list() shows those that exist",
                "no job 'j' in '/ws'; `dask-batch job list` shows those that exist",
            ),
            ("remove what is left with ws.jobs.delete('j')", "remove what is left with `dask-batch job delete -n j`"),
            (
                "Wait again, or pick it up later with ws.jobs['j']",
                "Wait again, or pick it up later with `dask-batch job wait -n j`",
            ),
            (
                "job 'j' wrote files; download() copies them, results(as_='path') names the folder",
                "job 'j' wrote files; `dask-batch job download -n j` copies them, "
                "`dask-batch job show -n j` names the folder",
            ),
            (
                "ScoringSettings: timeout='1:30': must be a number of seconds above 0",
                "the command line: timeout='1:30': must be a number of seconds above 0",
            ),
            (
                "needs a script; give code= and scoring_script=, or a model that was logged with MLflow",
                "needs a script; give code: and scoring_script:, or a model that was logged with MLflow",
            ),
            ("give environment= with requirements=, or code=", "give environment: with requirements:, or code:"),
            ("must be 'a:1', 'a@latest', or Environment(...)", "must be 'a:1', 'a@latest', or a definition"),
            ("write def run(x, params), or leave params= out", "write def run(x, params), or leave --param out"),
            ("name it: Workspace(root, catalog='postgresql://…')", "name it: --catalog postgresql://…"),
            ("the idempotency_key='k' belongs to job 'j'", "the --idempotency-key 'k' belongs to job 'j'"),
            ("a.name='x', a_name=3 and /p/output=1/x stay", "a.name='x', a_name=3 and /p/output=1/x stay"),
        ],
    )  # fmt: skip
    def test_python_becomes_options(self, python, shell):
        assert in_shell_words(python) == shell

    def test_no_advice_of_ours_speaks_python_in_a_shell(self):
        """Every text in the client's code that advises a call or a keyword has words for a shell."""
        advice = re.compile(r"\b(?:ep|ws)\.\w|\bjob\.\w+\(|\b\w+\(\)|\b[a-z_]{3,}=(?:True\b|…|[\s,;.)]|$)")
        allowed = re.compile(r"\b(?:run|init)\(|never changes; make a new one with replace\(\)")
        spoken = []
        for text in texts_of_errors("[c-j]*/*.py", "outputs/*.py", "s[lp]*/*.py", "*.py"):
            said = in_shell_words(text)
            bare = re.sub(r"`dask-batch [^`]*`", "", said)
            if advice.search(bare) and not allowed.search(bare):
                spoken.append(said)
        assert spoken == []

    def test_a_job_that_is_not_named_stays_open(self):
        assert in_shell_words("see job.errors()") == "see `dask-batch job errors -n JOB`"


class TestValues:
    def test_values_are_read_as_yaml(self):
        given = ["a=1", "b=true", "c=2%", "d=[x, y]", "e=a=b", "f=1:30", "g=2024-01-01", "h=off", "i=02134", "j="]
        assert literals(given, "--param") == {
            "a": 1, "b": True, "c": "2%", "d": ["x", "y"], "e": "a=b", "f": "1:30", "g": "2024-01-01", "h": "off",
            "i": "02134", "j": "",
        }  # fmt: skip

    @pytest.mark.parametrize("text", ["02134", "", "true", "1:30", "a # b", "0x10", "{x", "null", "'q'", "1.10"])
    @pytest.mark.parametrize("key", ["environment_variables.X", "settings.environment_variables.X", "tags.a.b"])
    def test_variables_and_tags_are_taken_as_they_are(self, key, text):
        assert pairs([f"{key}={text}"], "--set") == {key: text}

    def test_what_is_no_yaml_is_the_text(self):
        assert scalar("{not: [closed") == "{not: [closed"

    def test_tags_are_texts(self):
        assert tags(["version=1", "empty="]) == {"version": "1", "empty": ""}

    @pytest.mark.parametrize("text", ["no-sign", "=value", ""])
    def test_what_is_no_pair_is_refused(self, text):
        with pytest.raises(InvalidDefinition, match="is no KEY=VALUE"):
            pairs([text], "--set")

    def test_a_key_given_twice_is_refused(self):
        with pytest.raises(InvalidDefinition, match="gives 'a' twice"):
            pairs(["a=1", "a=2"], "--set")

    def test_an_option_and_a_set_may_say_the_same_and_not_two_things(self):
        assert changes({"name": "a"}, ["name=a"], ["timeout=5"], ["t=1"]) == {"name": "a", "timeout": 5, "tags.t": "1"}
        with pytest.raises(InvalidDefinition, match="name is given twice, as 'a' and 'b'"):
            changes({"name": "a"}, ["name=b"])
        with pytest.raises(InvalidDefinition, match=r"tags\.t is given twice"):
            changes({}, ["tags.t=2"], None, ["t=1"])

    def test_a_change_leaves_the_original_alone(self):
        document = {"settings": {"timeout": 5}}
        assert edited(document, {"settings.timeout": 9, "settings.retry.max": 1}) == {
            "settings": {"timeout": 9, "retry": {"max": 1}}
        }
        assert document == {"settings": {"timeout": 5}}


class TestInvocations:
    def test_inputs_of_options_and_file_are_taken_together(self, tmp_path):
        (tmp_path / "inputs.yml").write_text(
            "inputs:\n"
            "  patients: {type: uri_folder, path: data}\n"
            "  asset: {path: 'azureml:patients:2'}\n"
            "  sleep: {type: number, default: 2}\n"
            "outputs:\n"
            "  score: {type: uri_folder, path: out}\n"
        )
        asked = read_invocation(tmp_path / "inputs.yml", ["more.csv"], ["settings.timeout=9"], ["sleep=3"])
        assert asked.inputs == ["more.csv", str(tmp_path / "data"), "azureml:patients:2"]
        assert asked.output == str(tmp_path / "out")
        assert asked.params == {"sleep": 3}
        assert asked.overrides == {"settings.timeout": 9}

    def test_inputs_can_be_set_key_by_key_as_az_ml_has_it(self):
        asked = merge({}, "--set", [], {"inputs.a.path": "x", "inputs.a.type": "uri_file", "timeout": 1}, {})
        assert (asked.inputs, asked.overrides) == (["x"], {"timeout": 1})

    @pytest.mark.parametrize("output", [{"type": "uri_file"}, {"type": "uri_file", "path": None}, None])
    def test_an_output_without_a_path_is_where_outputs_are(self, output):
        assert merge({"inputs": {"a": "x"}, "outputs": {"score": output}}, "f", [], {}, {}).output is None

    def test_a_folder_may_be_called_as_a_number_and_an_asset_as_a_path(self, tmp_path):
        (tmp_path / "f.yml").write_text(
            "inputs: {a: {path: 2024}, b: {path: 'd_1:1'}, c: d1@latest, n: {default: 1.50}, t: {value: true}}\n"
        )
        asked = read_invocation(tmp_path / "f.yml", [], ["outputs.score.path=2025"], [])
        assert asked.inputs == [str(tmp_path / "2024"), "d_1:1", "d1@latest"]
        assert (asked.output, asked.params) == ("2025", {"n": 1.5, "t": True})

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"input": {}}, "unknown key 'input'; did you mean 'inputs'"),
            ({"inputs": ["a"]}, "inputs must map names to inputs"),
            ({"inputs": {"a": {"type": "uri_file"}}}, "inputs.a has no path"),
            ({"inputs": {"a": "x"}, "outputs": {"b": {"path": ["y"]}}}, "outputs.b has no path"),
            ({"inputs": {"a": "x"}, "outputs": {"b": "y", "c": "z"}}, "outputs must map one name"),
            ({}, "there is no input"),
        ],
    )
    def test_what_cannot_be_is_named(self, document, message):
        with pytest.raises(InvalidDefinition, match=message):
            merge(document, "inputs.yml", [], {}, {})
