"""``python -m dask_batch.cli``."""

from __future__ import annotations

from dask_batch.cli import main

if __name__ == "__main__":
    main()
