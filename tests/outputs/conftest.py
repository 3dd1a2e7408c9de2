from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from outputs_job import Job, rows
from servers.s3 import s3_server


@pytest.fixture
def make_rows() -> Callable[..., pa.Table]:
    return rows


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    def make(root: str | None = None, **options: Any) -> Job:
        return Job(root or str(tmp_path / f"root-{secrets.token_hex(3)}"), **options)

    return make


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket on a real S3 server."""
    with s3_server() as url:
        yield url
