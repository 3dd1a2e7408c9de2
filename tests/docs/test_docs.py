"""The documentation is true: its code runs, its links lead somewhere, and nothing public is left out."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest
from docs_page import blocks_of

import dask_batch
from dask_batch import errors, settings
from dask_batch.jobfolder.states import State
from dask_batch.specs.compute import LocalCompute
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.environment import Environment
from dask_batch.specs.scoring_settings import OUTPUT_ENDINGS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# The samples of the other pages are what the tutorial makes.
MAKES_ITS_OWN = {"docs/tutorial.md"}
GENERATED = {"docs/cli.md"}
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _has_code(name: str) -> bool:
    return name not in GENERATED and any(block.is_run for block in blocks_of(ROOT / name))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in NAMES if _has_code(name)])
def test_the_code_of_a_page_runs_in_order(name, reader):
    script = str(Path(__file__).with_name("docs_page.py"))
    done = reader(script, str(ROOT / name), samples=name not in MAKES_ITS_OWN)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("name", NAMES)
def test_python_that_is_not_run_says_why(name):
    blocks = [block for block in blocks_of(ROOT / name) if block.language == "python"]
    assert [block.line for block in blocks if not (block.is_run or block.is_written or block.reason)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_links_of_a_page_lead_to_files_and_headings(name):
    page = ROOT / name
    for link in _LINK.findall(_without_code(page)):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        path, _, anchor = link.partition("#")
        target = Path(os.path.normpath(page.parent / path)) if path else page
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{name}: {link}"


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


def test_the_reference_has_every_public_name():
    assert [name for name in dask_batch.__all__ if f"`{name}`" not in REFERENCE] == []


@pytest.mark.parametrize("kind", [ModelDeployment, LocalCompute, Environment])
def test_the_reference_has_every_key_of_a_definition(kind):
    assert [name for name in kind.model_fields if f"`{name}`" not in REFERENCE] == []


def test_the_reference_has_the_defaults_of_all_settings():
    wrong = []
    for name, field in ModelDeployment.model_fields.items():
        if name in ModelDeployment.__mro__[1].model_fields:
            default = field.get_default(call_default_factory=True)
            shown = {None: "every slot"}.get(default, default) if not isinstance(default, dict) else "none"
            shown = str(shown).lower() if isinstance(shown, bool) else f"{shown:g}" if type(shown) is float else shown
            if not re.search(rf"^\| `{name}` \| `?{re.escape(str(shown))}`? \|", REFERENCE, re.MULTILINE):
                wrong.append(f"{name}: {shown}")
    assert wrong == []


def test_the_reference_has_every_variable_state_error_and_ending():
    variables = re.findall(r"DASK_BATCH_\w+", inspect.getsource(settings))
    words = [*variables, *(state.value for state in State), *errors.__all__, *OUTPUT_ENDINGS]
    assert sorted({word for word in words if f"`{word}`" not in REFERENCE}) == []


@pytest.mark.parametrize("kind", ["Workspace", "Endpoint", "Deployment", "Job"])
def test_the_reference_has_every_method_of_a_handle(kind):
    handle = getattr(dask_batch, kind)
    public = [name for name in vars(handle) if not name.startswith("_")]
    internal = {"look", "peek"}
    assert [name for name in public if f"`{name}" not in REFERENCE and name not in internal] == []


def _without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = _HEADING.findall(_without_code(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
