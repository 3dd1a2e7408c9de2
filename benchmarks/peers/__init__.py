"""The peers, by name. A new one is a module with a `benchmarks.task.Contender`, and a line here."""

from __future__ import annotations

import importlib

from benchmarks.task import Contender

__all__ = ["PEERS", "peer"]

PEERS = {
    "bare": "benchmarks.peers.bare:Bare",
    "ray": "benchmarks.peers.ray_data:RayData",
    "dask": "benchmarks.peers.plain_dask:PlainDask",
    "joblib": "benchmarks.peers.joblib_loky:Joblib",
}


def peer(name: str) -> Contender:
    """Return the peer of that name."""
    # Imported late: each is also the main module of the process that it measures.
    module, _, attribute = PEERS[name].partition(":")
    contender: Contender = getattr(importlib.import_module(module), attribute)()
    return contender
