from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from dask_batch.errors import InputEmpty, InputError, InputMissing
from dask_batch.planning.listing import check_inputs, list_inputs


def paths(*inputs: object) -> list[str]:
    return list_inputs([str(one) for one in inputs]).column("path").to_pylist()


def make(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [str(folder / name) for name in names]


def test_a_folder_is_listed_with_everything_below_it_sorted_by_path(tmp_path):
    make(tmp_path, "b/2.csv", "b/10.csv", "a.csv", "b-c/x.csv")
    assert paths(tmp_path) == sorted(make(tmp_path, "a.csv", "b/10.csv", "b/2.csv", "b-c/x.csv"))


def test_hidden_and_underscored_names_are_left_out_below_a_folder_but_not_where_they_are_named(tmp_path):
    make(tmp_path, "a.csv", ".hidden.csv", "_SUCCESS", "_temporary/0.csv", ".git/config", "sub/_x.csv")
    assert paths(tmp_path) == [str(tmp_path / "a.csv")]
    assert paths(tmp_path / "_SUCCESS") == [str(tmp_path / "_SUCCESS")]
    assert paths(tmp_path / "_temporary") == [str(tmp_path / "_temporary/0.csv")]
    assert paths(tmp_path / "*") == [str(tmp_path / "a.csv")]
    assert paths(tmp_path / "_*/*.csv") == [str(tmp_path / "_temporary/0.csv")]


def test_inputs_keep_the_users_order_and_each_file_counts_once(tmp_path):
    a, b, c = make(tmp_path, "a.csv", "b.csv", "c.csv")
    assert paths(c, tmp_path, a) == [c, a, b]
    assert paths(a, b, f"{tmp_path}/./a.csv") == [a, b]


def test_patterns_match_at_every_depth(tmp_path):
    make(tmp_path, "x/1.csv", "x/y/2.csv", "x/y/z/3.csv", "4.csv", "x/no.txt")
    assert len(paths(f"{tmp_path}/**/*.csv")) == 4
    assert len(paths(f"{tmp_path}/**/**/*.csv")) == 4
    assert paths(f"{tmp_path}/x/?/*.csv") == [str(tmp_path / "x/y/2.csv")]
    assert paths(f"{tmp_path}/[x]") == make(tmp_path, "x/1.csv", "x/no.txt", "x/y/2.csv", "x/y/z/3.csv")


def test_any_path_works_and_a_name_that_exists_wins_over_the_pattern_it_looks_like(odd_path):
    names = ["a b.csv", "q'\".csv", "h#%?&.csv", "new\nline.csv", "ü.csv", "{x}.csv"]
    made = make(odd_path, "[1].csv", "1.csv", "*.csv", *names)
    assert sorted(paths(odd_path)) == sorted(made)
    assert paths(odd_path / "[1].csv") == [str(odd_path / "[1].csv")]
    assert paths(odd_path / "*.csv") == [str(odd_path / "*.csv")]
    for path in made:
        assert paths(path) == [path]


def test_sizes_and_modification_times_are_those_of_the_files(tmp_path):
    (path,) = make(tmp_path, "a.csv")
    os.utime(path, ns=(1, 1234567890123456789))
    assert list_inputs([path]).to_pylist() == [{"path": path, "size": 5, "version": "1234567890123456789"}]
    assert list_inputs([f"file://{path}"]).to_pylist() == list_inputs([str(tmp_path)]).to_pylist()


def test_links_are_followed_and_loops_end(tmp_path):
    make(tmp_path, "real/a.csv", "outside/b.csv")
    (tmp_path / "real/loop").symlink_to(tmp_path / "real")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "real/file.csv").symlink_to(tmp_path / "outside/b.csv")
    found = paths(tmp_path / "real")
    assert str(tmp_path / "real/a.csv") in found
    assert str(tmp_path / "real/file.csv") in found
    assert len(found) == len(set(found)) == 3


def test_a_link_to_nothing_is_listed_so_that_it_shows_among_the_errors(tmp_path):
    make(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    assert list_inputs([str(tmp_path)]).column("size").to_pylist() == [5, 0]


def test_pipes_are_passed_over(tmp_path):
    (a,) = make(tmp_path, "a.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert paths(tmp_path) == [a]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        list_inputs([str(tmp_path / "pipe.csv")])


def test_a_name_that_is_not_utf8_is_named(tmp_path):
    make(tmp_path, "a.csv")
    with open(os.fsencode(tmp_path) + b"/\xff.csv", "wb"):
        pass
    with pytest.raises(InputError, match="not valid UTF-8"):
        list_inputs([str(tmp_path)])


@pytest.mark.parametrize("ask", [list_inputs, check_inputs])
def test_a_missing_input_is_named_with_what_looks_like_it(tmp_path, ask):
    make(tmp_path, "training.csv", "other.txt")
    with pytest.raises(InputMissing, match=r"'.*trainin\.csv' does not exist; did you mean '.*training\.csv'"):
        ask([str(tmp_path / "trainin.csv")])
    with pytest.raises(InputMissing, match="no file matches"):
        ask([str(tmp_path / "*.parquet")])
    with pytest.raises(InputMissing, match="does not exist"):
        ask([str(tmp_path / "training.csv/below")])


@pytest.mark.parametrize("ask", [list_inputs, check_inputs])
def test_a_folder_without_usable_files_says_the_rule(tmp_path, ask):
    make(tmp_path, "_SUCCESS", ".x")
    with pytest.raises(InputEmpty, match=r"begin with '\.' or '_' are left out"):
        ask([str(tmp_path)])


def test_checking_says_nothing_where_all_is_well(tmp_path):
    (a,) = make(tmp_path, "a.csv")
    check_inputs([a, str(tmp_path), f"{tmp_path}/*.csv"])
    with pytest.raises(InputEmpty, match="no input"):
        check_inputs([])


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    make(tmp_path, "in/locked/a.csv", "in/b.csv")
    os.chmod(tmp_path / "in/locked", 0)
    code = (
        "import os, sys\n"
        "from dask_batch.planning import listing\n"
        "from dask_batch.errors import InputError\n"
        "os.geteuid() or os.seteuid(65534)\n"  # root may read everything
        "try: listing.list_inputs([sys.argv[1]])\n"
        "except InputError as error: print(error)\n"
    )
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            os.chmod(parent, parent.stat().st_mode | 0o055)
    try:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "in")], capture_output=True, text=True)
    finally:
        os.chmod(tmp_path / "in/locked", 0o700)
    assert f"{tmp_path}/in/locked" in done.stdout, done.stderr
    assert "cannot be read: Permission denied" in done.stdout


# -- remote ------------------------------------------------------------------------------------------------------------


def test_objects_are_listed_with_their_etags(bucket):
    fs = fsspec.filesystem("s3")
    for name in ("in/b.csv", "in/a/1.csv", "in/_SUCCESS", "in/.x/y.csv", "in/sp ace#%.csv"):
        fs.pipe_file(f"{bucket}/{name}", b"x,y\n1,2\n")
    listed = list_inputs([f"{bucket}/in"])
    assert listed.column("path").to_pylist() == [f"{bucket}/in/{n}" for n in ("a/1.csv", "b.csv", "sp ace#%.csv")]
    assert listed.column("size").to_pylist() == [8, 8, 8]
    assert set(listed.column("version").to_pylist()) == {hashlib.md5(b"x,y\n1,2\n").hexdigest()}
    assert paths(f"{bucket}/in/*.csv") == [f"{bucket}/in/b.csv", f"{bucket}/in/sp ace#%.csv"]
    assert paths(f"{bucket}/in/b.csv") == [f"{bucket}/in/b.csv"]
    assert list_inputs([f"{bucket}/in/b.csv"]).to_pylist()[0] in listed.to_pylist()
    check_inputs([f"{bucket}/in", f"{bucket}/in/*.csv", f"{bucket}/in/b.csv"])


def test_missing_and_empty_places_in_a_bucket_are_named(bucket):
    fsspec.filesystem("s3").pipe_file(f"{bucket}/near/data.csv", b"x")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/only/_SUCCESS", b"")
    with pytest.raises(InputMissing, match=r"did you mean '.*near/data\.csv'"):
        check_inputs([f"{bucket}/near/dat.csv"])
    with pytest.raises(InputEmpty):
        check_inputs([f"{bucket}/only"])
    with pytest.raises(InputMissing, match="no file matches"):
        check_inputs([f"{bucket}/near/*.parquet"])


def test_an_object_that_is_written_again_has_another_version(bucket):
    fs = fsspec.filesystem("s3")
    fs.pipe_file(f"{bucket}/v/a.csv", b"1")
    before = list_inputs([f"{bucket}/v"])
    fs.pipe_file(f"{bucket}/v/a.csv", b"2")
    assert list_inputs([f"{bucket}/v"]) != before


def test_an_unknown_protocol_is_an_error_that_names_it():
    with pytest.raises(InputError, match="nosuch"):
        list_inputs(["nosuch://x/y"])
