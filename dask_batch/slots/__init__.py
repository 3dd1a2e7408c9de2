"""Scoring processes from outside: their environments and files, starting, talking to, watching and killing them.

An instance has one `dask_batch.slots.pool.Slots`; clients use the same code to try a deployment before it is used.
Nothing here knows Dask.
"""
