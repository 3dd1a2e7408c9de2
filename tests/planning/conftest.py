from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.s3 import s3_server


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket on a real S3 server."""
    with s3_server() as url:
        yield url
