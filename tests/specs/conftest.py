from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a YAML file and makes its folder the current one, so that messages hold its bare name."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str, name: str = "deployment.yml") -> Path:
        Path(name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return Path(name)

    return write_file
