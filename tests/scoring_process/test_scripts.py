"""Scripts on files, in a real scoring process: what they return, raise, leave behind and are given."""

from __future__ import annotations

import os
import textwrap
import warnings

import mlflow
import pyarrow.parquet as pq
import pytest

ECHO = """
    def init():
        pass

    def run(mini_batch):
        return [open(path).read() for path in mini_batch]
"""


def rows(child, answer, *names):
    return [tuple(row[name] for name in names) for row in child.part(answer).to_pylist()]


def test_rows_come_in_input_order_with_their_file(child, files):
    paths = files(5)
    child.loaded(ECHO)
    answer = child.scored([paths[:2], paths[2:4], paths[4:]], first=7)
    assert rows(child, answer, "prediction", "source_file", "__split", "__row") == [
        (str(n), str(paths[n]), n, 0) for n in range(5)
    ]
    assert answer["counts"] == {"items": 5, "succeeded": 5, "rows_out": 5, "bytes": 5}
    assert answer["errors"] is None and answer["first_error"] is None
    report = child.report(answer)["mini_batches"]
    assert report["mini_batch"] == [7, 8, 9]
    assert report["items"] == report["rows"] == [2, 2, 1]
    assert report["attempts"] == [1, 1, 1]


def test_a_failing_file_is_isolated_and_its_neighbours_succeed(child, files):
    paths = files(8)
    child.loaded("""
        def init():
            pass

        def check(path):
            if path.endswith("005.txt"):
                raise ValueError("five is bad")
            return path

        def run(mini_batch):
            return [check(path) for path in mini_batch]
    """)
    answer = child.scored([paths], max_retries=2)
    assert rows(child, answer, "source_file") == [(str(path),) for n, path in enumerate(paths) if n != 5]
    (error,) = child.errors(answer)
    assert (error["file"], error["item"], error["split"], error["mini_batch"]) == (str(paths[5]), 5, 5, 0)
    assert (error["stage"], error["type"], error["message"]) == ("predict", "ValueError", "five is bad")
    assert error["attempts"] == 3 + 3
    lines = error["traceback"].splitlines()
    assert lines[0].startswith("Traceback") and "score.py" in lines[1]
    assert "dask_batch" not in error["traceback"]
    assert answer["first_error"] == error
    assert answer["counts"] == {
        "items": 8, "succeeded": 7, "failed": 1, "failed_files": 1, "rows_out": 7, "bytes": 8
    }  # fmt: skip
    assert child.report(answer)["mini_batches"]["failed"] == [1]


def test_without_bisection_the_mini_batch_fails_as_a_whole(child, files):
    child.loaded("def init(): pass\ndef run(mini_batch): raise OSError('no')")
    answer = child.scored([files(3)], bisect=False, max_retries=1)
    assert answer["part"] is None
    assert [(error["item"], error["attempts"]) for error in child.errors(answer)] == [(0, 2), (1, 2), (2, 2)]


def test_only_the_items_of_the_chunk_are_scored(child, files):
    paths = files(6)
    child.loaded(ECHO)
    answer = child.scored([paths], items=(2, 4))
    assert rows(child, answer, "prediction", "__split") == [("2", 2), ("3", 3)]
    assert answer["counts"]["items"] == 2
    assert rows(child, child.scored([paths], items=(4, None)), "prediction") == [("4",), ("5",)]


def test_the_cell_names_the_very_items_of_a_call(child, files):
    paths = files(6)
    child.loaded("""
        import mmap, os
        from dask_batch.scoring.cell import Cell

        def init():
            pass

        def run(mini_batch):
            lane = Cell(os.path.join(os.path.dirname(os.environ["AZUREML_BI_OUTPUT_PATH"]), "cell")).read("main")
            if len(mini_batch) > 2:
                raise ValueError
            return [str(lane[:4])] * len(mini_batch)
    """)
    answer = child.scored([paths[:4], paths[4:]], first=3)
    assert rows(child, answer, "prediction") == [
        ("(2, 3, 0, 2)",), ("(2, 3, 0, 2)",), ("(2, 3, 2, 4)",), ("(2, 3, 2, 4)",), ("(2, 4, 0, 2)",), ("(2, 4, 0, 2)",)
    ]  # fmt: skip
    assert child.cell.read("main")[0] == 0


# -- results -----------------------------------------------------------------------------------------------------------


def test_fewer_results_than_files_are_bisected(child, files):
    child.loaded("""
        def init():
            pass

        def run(mini_batch):
            return [path for path in mini_batch if "002" not in path]
    """)
    paths = files(4)
    answer = child.scored([paths])
    assert rows(child, answer, "source_file") == [(str(paths[n]),) for n in (0, 1, 3)]
    (error,) = child.errors(answer)
    assert (error["type"], error["file"]) == ("FewerResults", str(paths[2]))


def test_fewer_results_without_bisection_count_as_azure_counts_them(child, files):
    child.loaded("def init(): pass\ndef run(mini_batch): return ['one']")
    answer = child.scored([files(3)], bisect=False)
    assert answer["counts"]["succeeded"] == 1
    assert answer["counts"]["failed"] == 2
    assert [(error["file"], error["item"]) for error in child.errors(answer)] == [(None, None)] * 2
    assert rows(child, answer, "prediction", "source_file", "__split", "__row") == [("one", None, 0, 0)]


def test_more_results_are_all_kept_and_the_file_is_named_where_it_is_certain(child, files):
    child.loaded("def init(): pass\ndef run(mini_batch): return [1, 2, 3]")
    paths = files(3)
    answer = child.scored([paths[:2], paths[2:]])
    one = str(paths[2])
    assert rows(child, answer, "source_file", "__split", "__row") == [
        (None, 0, 0), (None, 0, 1), (None, 0, 2), (one, 2, 0), (one, 2, 1), (one, 2, 2)
    ]  # fmt: skip
    assert answer["counts"]["succeeded"] == 3


def test_a_generator_is_consumed_as_part_of_the_call(child, files):
    child.loaded("""
        def init():
            pass

        def run(mini_batch):
            for path in mini_batch:
                if "001" in path:
                    raise ValueError("while yielding")
                yield {"path": path}
    """)
    answer = child.scored([files(3)])
    assert answer["counts"]["succeeded"] == 2
    assert child.errors(answer)[0]["message"] == "while yielding"


@pytest.mark.parametrize("returned", ["None", "'text'", "{}"])
def test_a_result_of_the_wrong_type_is_a_failure_that_says_what_is_allowed(child, files, returned):
    child.loaded(f"def init(): pass\ndef run(mini_batch): return {returned}")
    (error,) = child.errors(child.scored([files(1)]))
    assert error["type"] == "TypeError"
    assert "pandas DataFrame" in error["message"]


def test_int_and_float_results_of_different_mini_batches_become_one_column_of_floats(child, files):
    child.loaded("def init(): pass\ndef run(mini_batch): return [1 if '0.txt' in mini_batch[0] else 2.5]")
    paths = files(2)
    answer = child.scored([[path] for path in paths])
    assert rows(child, answer, "prediction") == [(1.0,), (2.5,)]


def test_columns_whose_types_cannot_be_united_fail_the_chunk_and_name_both_types_and_files(child, files):
    child.loaded(
        """
        import pandas as pd
        def init(): pass
        def run(mini_batch): return pd.DataFrame({"a": [1 if "0.txt" in mini_batch[0] else "x"]})
        """
    )
    paths = files(2)
    answer = child.score([[path] for path in paths])
    assert answer["op"] == "failed" and answer["error"]["transient"] is False
    assert not any(child.job.rglob("*.arrow"))
    message = answer["error"]["message"]
    assert f"'a' is int64 in rows of '{paths[0]}' and string in rows of '{paths[1]}'" in message


@pytest.mark.parametrize("element", ["value", "{'prediction': value}"])
def test_elements_of_several_types_are_text_whether_they_come_from_one_call_or_from_several(child, files, element):
    child.loaded(
        f"""
        VALUES = [1, "x", 2.0, None]
        def init(): pass
        def run(mini_batch): return [{element} for path in mini_batch for value in [VALUES[int(open(path).read())]]]
        """
    )
    paths = files(4)
    together = rows(child, child.scored([paths]), "prediction")
    assert together == rows(child, child.scored([[path] for path in paths]), "prediction")
    assert together == [("1",), ("x",), ("2",), (None,)]


def test_summary_only_counts_results_and_keeps_none(child, files):
    child.loaded(ECHO)
    answer = child.scored([files(3)], output_action="summary_only")
    assert answer["part"] is None
    assert answer["counts"]["succeeded"] == 3
    assert child.report(answer)["mini_batches"]["rows"] == [0]


def test_a_frame_keeps_its_columns_and_its_own_source_file(child, files):
    child.loaded("""
        import pandas as pd

        def init():
            pass

        def run(mini_batch):
            return pd.DataFrame({"source_file": ["mine"] * len(mini_batch), 1: 0.5}, index=[9] * len(mini_batch))
    """)
    answer = child.scored([files(2)])
    assert child.part(answer).column_names == ["source_file", "1", "__split", "__row"]
    assert rows(child, answer, "source_file", "1") == [("mine", 0.5)] * 2


def test_params_reach_a_run_that_takes_them(child, files):
    assert child.loaded("def init(): pass\ndef run(mini_batch, params): return [params['unit']]")["description"][
        "takes_params"
    ]
    assert rows(child, child.scored([files(1)], params={"unit": "mg"}), "prediction") == [("mg",)]


def test_many_mini_batches_of_one_file_make_one_part(child, files):
    paths = files(40)
    child.loaded(ECHO)
    answer = child.scored([[path] for path in paths * 50])
    assert rows(child, answer, "prediction") == [(str(n),) for n in range(40)] * 50


def test_a_script_without_pandas_does_not_import_it(child, files):
    child.loaded("""
        import sys

        def init():
            pass

        def run(mini_batch):
            return ["pandas" in sys.modules or "mlflow" in sys.modules] * len(mini_batch)
    """)
    for _ in range(2):
        answer = child.scored([files(2)])
        assert rows(child, answer, "prediction") == [(False,), (False,)]


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_a_file_that_changed_or_went_since_the_plan_fails_alone(child, files):
    paths = files(4)
    child.loaded(ECHO)
    splits = [child.split(path) for path in paths]
    paths[1].write_text("longer")
    os.utime(paths[2], ns=(1, 1))
    paths[3].unlink()
    answer = child.scored([splits])
    assert rows(child, answer, "prediction", "__split") == [("0", 0)]
    errors = child.errors(answer)
    assert [(error["item"], error["stage"]) for error in errors] == [(1, "read"), (2, "read"), (3, "read")]
    assert "changed since the plan" in errors[0]["message"]
    assert "written again" in errors[1]["message"]
    assert "missing now" in errors[2]["message"]
    assert answer["counts"]["failed_files"] == 3


def test_a_version_that_is_not_known_is_not_compared(child, files):
    child.loaded(ECHO)
    split = child.split(files(1)[0]) | {"version": ""}
    assert child.scored([[split]])["counts"]["succeeded"] == 1


def test_odd_file_names_are_passed_as_they_are(child, tmp_path):
    path = tmp_path / "a b#c%20 ü\n?.txt"
    path.write_text("x")
    child.loaded(ECHO)
    assert rows(child, child.scored([[path]]), "source_file") == [(str(path),)]


def test_remote_files_are_fetched_checked_and_removed_again(store, child):
    splits = [store.put(f"in/{n}.txt", str(n)) for n in range(6)]
    child.loaded("""
        import os

        def init():
            pass

        def run(mini_batch):
            assert all(os.path.isabs(path) for path in mini_batch)
            return [os.path.basename(path) + "=" + open(path).read() for path in mini_batch]
    """)
    splits[3] |= {"size": 7}
    splits[4] |= {"path": store.url("in/none.txt")}
    answer = child.scored([splits[:2], splits[2:5], splits[5:]], prefetch_bytes=1)
    assert rows(child, answer, "prediction", "source_file") == [
        (f"{n}.txt={n}", store.url(f"in/{n}.txt")) for n in (0, 1, 2, 5)
    ]
    assert ["changed since" in error["message"] for error in child.errors(answer)] == [True, False]
    assert "missing now" in child.errors(answer)[1]["message"]
    assert not list(child.scratch.glob("inputs-*"))
    assert child.cell.read("read")[0] == 0


def test_a_store_that_is_away_fails_the_chunk_for_now(start):
    keys = {"FSSPEC_S3_KEY": "x", "FSSPEC_S3_SECRET": "x", "AWS_MAX_ATTEMPTS": "1"}
    child = start({"FSSPEC_S3_ENDPOINT_URL": "http://127.0.0.1:1", **keys})
    child.loaded(ECHO)
    answer = child.score([[child.remote_split("s3://bucket/in/0.txt", "0")]])
    assert answer["op"] == "failed"
    assert answer["error"]["transient"] is True
    assert answer["error"]["stage"] == "read"
    assert "in/0.txt" in answer["error"]["message"]


# -- AZUREML_BI_OUTPUT_PATH --------------------------------------------------------------------------------------------

LEAVES = """
    import os
    OUT = os.environ["AZUREML_BI_OUTPUT_PATH"]

    def init():
        os.makedirs(os.path.join(OUT, "made"))

    def run(mini_batch):
        for path in mini_batch:
            name = os.path.basename(path)
            with open(os.path.join(OUT, "made", name), "w") as file:
                file.write(name)
        if len(mini_batch) > 1:
            raise ValueError("one at a time")
        return mini_batch
"""


def test_files_that_a_call_leaves_are_kept_if_it_succeeded_and_dropped_if_not(child, files):
    paths = files(4)
    child.loaded(LEAVES)
    answer = child.scored([paths[:2], paths[2:3]])
    assert child.report(answer)["files"] == [[0, "made/000.txt"], [0, "made/001.txt"], [1, "made/002.txt"]]
    folder = child.job / "parts" / "a1" / "made"
    assert sorted(os.listdir(folder)) == ["000.txt", "001.txt", "002.txt"]
    assert (folder / "001.txt").read_text() == "001.txt"
    assert answer["counts"]["collected"] == 3
    assert child.report(child.scored([paths[3:]]))["files"] == [[0, "made/003.txt"]]


SAME_NAME = """
    import os

    def init():
        pass

    def run(mini_batch):
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "out.txt"), "w") as file:
            file.write(mini_batch[0])
        return mini_batch
"""


def test_a_second_mini_batch_that_leaves_the_same_name_fails(child, files):
    paths = files(2)
    child.loaded(SAME_NAME)
    answer = child.scored([[path] for path in paths], first=4)
    (error,) = child.errors(answer)
    assert error["type"] == "DuplicateFile"
    assert error["file"] == str(paths[1])
    assert "mini-batch 5" in error["message"] and "mini-batch 4" in error["message"] and "out.txt" in error["message"]
    assert (child.job / "parts" / "a1" / "out.txt").read_text() == str(paths[0])
    assert rows(child, answer, "source_file") == [(str(paths[0]),)]


def test_with_on_duplicate_last_the_later_file_wins(child, files):
    paths = files(2)
    child.loaded(SAME_NAME)
    answer = child.scored([[path] for path in paths], on_duplicate="last")
    assert answer["errors"] is None
    assert child.report(answer)["files"] == [[1, "out.txt"]]
    assert (child.job / "parts" / "a1" / "out.txt").read_text() == str(paths[1])


def test_files_that_init_leaves_are_no_output(child, files):
    child.loaded("""
        import os

        def init():
            open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "x"), "w").close()

        def run(mini_batch):
            return mini_batch
    """)
    answer = child.scored([files(1)])
    assert child.report(answer)["files"] == []
    assert "init() left files" in answer["warnings"][0]


@pytest.mark.parametrize("kind", ["files", "table"])
def test_a_file_that_init_keeps_open_is_warned_of_for_what_run_writes_to_it_is_lost(child, tmp_path, kind):
    child.loaded(
        """
        import os

        def init():
            global file
            file = open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "all.csv"), "a")

        def run(mini_batch):
            print("x", file=file, flush=True)
            return list(range(len(mini_batch)))
        """,
        input_format=kind,
    )
    path = tmp_path / "in.csv"
    path.write_text("a\n1\n")
    split = child.split(path) | {"format": "csv"}
    answer = child.scored([[split]], types=[["a", "int64"]])
    assert child.report(answer)["files"] == []
    (warning,) = answer["warnings"]
    assert "'all.csv'" in warning and "only what run() opens and closes there is output" in warning


def test_all_folders_that_init_makes_stay(child, files):
    child.loaded("""
        import os

        OUT = os.environ["AZUREML_BI_OUTPUT_PATH"]

        def init():
            for n in range(100):
                os.makedirs(f"{OUT}/class_{n}/{n}")

        def run(mini_batch):
            for path in mini_batch:
                name = os.path.basename(path)
                open(f"{OUT}/class_{int(name[:3]) * 40}/{name}", "w").close()
            return mini_batch
    """)
    answer = child.scored([[path] for path in files(3)])
    assert answer["errors"] is None
    assert [name for _, name in child.report(answer)["files"]] == [
        "class_0/000.txt",
        "class_40/001.txt",
        "class_80/002.txt",
    ]


@pytest.mark.parametrize(
    "act, said",
    [
        ("os.symlink('/nowhere/x', OUT + '/odd')", "is a link to '/nowhere/x', which is no file that can be read"),
        ("os.mkfifo(OUT + '/odd')", "is no file but a pipe"),
    ],
)
def test_what_is_no_file_fails_the_items_of_its_call_and_no_others(child, files, act, said):
    child.loaded(f"""
        import os

        OUT = os.environ["AZUREML_BI_OUTPUT_PATH"]

        def init(): pass

        def run(mini_batch):
            open(OUT + "/" + os.path.basename(mini_batch[0]), "w").close()
            if "001" in mini_batch[0]:
                {act}
            return mini_batch
    """)
    answer = child.scored([[path] for path in files(3)])
    (error,) = child.errors(answer)
    assert error["file"].endswith("001.txt")
    assert "'odd' in AZUREML_BI_OUTPUT_PATH" in error["message"] and said in error["message"]
    assert [name for _, name in child.report(answer)["files"]] == ["000.txt", "002.txt"]


def test_many_collected_files_are_published(child, files):
    child.loaded("""
        import os

        def init():
            pass

        def run(mini_batch):
            for n in range(200):
                folder = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], f"d{n}")
                os.makedirs(folder)
                open(os.path.join(folder, os.path.basename(mini_batch[0])), "w").close()
            return mini_batch
    """)
    answer = child.scored([[path] for path in files(2)])
    assert answer["counts"]["collected"] == 400
    assert sum(len(names) for _, _, names in os.walk(child.job / "parts" / "a1")) == 400


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_fails_the_chunk_and_names_the_path(child, files):
    (child.job / "parts").write_text("in the way")
    child.loaded(ECHO)
    answer = child.score([files(1)])
    assert answer["op"] == "failed"
    assert answer["error"]["transient"] is False
    assert str(child.job / "parts") in answer["error"]["message"]
    assert not (child.job / "reports").exists()
    (child.job / "parts").unlink()
    assert child.scored([files(1)])["counts"]["succeeded"] == 1


def test_a_full_disk_fails_the_chunk_and_says_so(child, files):
    child.loaded("""
        import resource

        def init():
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

        def run(mini_batch):
            return ["x" * 200_000]
    """)
    answer = child.score([files(1)])
    assert answer["op"] == "failed"
    assert "cannot write" in answer["error"]["message"]
    assert answer["error"]["transient"] is False


def test_nothing_temporary_is_left(child, files):
    child.loaded(ECHO)
    child.scored([files(2)])
    names = {path.name for path in child.job.rglob("*")}
    assert names == {"parts", "reports", "a1.arrow", "a1.json"}
    assert not list(child.scratch.glob("attempt-*"))


def test_rows_and_reports_reach_a_remote_folder(store, child, files):
    child.loaded(SAME_NAME)
    message = child.score_message([files(1)]) | {"folder": store.url("job")}
    answer = child.ask(message)
    assert answer["op"] == "scored", answer
    names = [name.split("/", 1)[1] for name in store.names("job")]
    assert names == ["job/parts/a1.arrow", "job/parts/a1/out.txt", "job/reports/a1.json"]


# -- as on Azure -------------------------------------------------------------------------------------------------------


def test_a_script_of_azure_runs_unchanged(child, files, tmp_path):
    model = tmp_path / "model"
    (model / "data").mkdir(parents=True)
    (model / "labels").write_text("a b")
    (model / "data" / "weights").write_text("3")
    script = textwrap.dedent("""
        import argparse
        import glob
        import os
        import pandas as pd
        from helper import scale

        def init():
            global weight, output_path
            parser = argparse.ArgumentParser()
            parser.add_argument("--logging_level", default="none")
            args, _ = parser.parse_known_args()
            assert args.logging_level == "debug"
            root = os.environ["AZUREML_MODEL_DIR"]
            assert open(os.path.join(root, "model", "labels")).read() == open(os.path.join(root, "labels")).read()
            assert glob.glob(root + "/*/")
            weight = int(open(os.path.join(root, "model", "data", "weights")).read())
            output_path = os.environ["AZUREML_BI_OUTPUT_PATH"]

        def run(mini_batch):
            results = []
            for path in mini_batch:
                data = pd.DataFrame({"value": [int(open(path).read()) * scale(weight)]})
                name = os.path.splitext(os.path.basename(path))[0]
                data.to_parquet(os.path.join(output_path, f"{name}.parquet"))
                results.append(data.assign(file=name))
            return pd.concat(results)
    """)
    (child.code / "helper.py").write_text("def scale(x): return 10 * x")
    child.loaded(script, model_path=str(model), logging_level="debug")
    answer = child.scored([files(2)])
    assert rows(child, answer, "file", "value") == [("000", 0), ("001", 30)]
    assert pq.read_table(child.job / "parts" / "a1" / "001.parquet").to_pydict() == {"value": [30]}


def test_a_script_loads_an_mlflow_model_with_mlflow(child, files, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow misses type hints and an example

        class Doubling(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input):
                return model_input * 2

        mlflow.pyfunc.save_model(tmp_path / "model", python_model=Doubling(), pip_requirements=[])
    child.loaded(
        """
        import os
        import mlflow
        import pandas as pd

        def init():
            global model
            model = mlflow.pyfunc.load_model(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model"))

        def run(mini_batch):
            return model.predict(pd.DataFrame({"x": [21 for path in mini_batch]}))
        """,
        model_path=str(tmp_path / "model"),
    )
    assert rows(child, child.scored([files(1)]), "x") == [(42,)]


def test_a_model_that_is_one_file_is_found_by_its_name(child, files, tmp_path):
    (tmp_path / "model.pkl").write_text("pickle")
    child.loaded(
        """
        import os

        def init():
            global model
            model = open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl")).read()

        def run(mini_batch):
            return [model]
        """,
        model_path=str(tmp_path / "model.pkl"),
    )
    assert rows(child, child.scored([files(1)]), "prediction") == [("pickle",)]
