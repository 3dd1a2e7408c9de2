"""Providers of instances: what a host asks for capacity. Only here and in `dask_batch.host` is Dask imported."""
