"""The scoring process: runs user code, alone, in the deployment's own Python environment.

It imports the standard library, pandas, pyarrow, fsspec, and mlflow for MLflow models; nothing else of dask_batch.
"""
