"""The entry of a scoring process: ``python -m dask_batch.scoring``."""

from dask_batch.scoring.process import main

if __name__ == "__main__":
    main()
