"""How host and instances reach each other: Dask's configuration, and the addresses they listen on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from distributed import Security

__all__ = ["DASK_CONFIG", "Network"]

# Retries are decided by the coordinator. No more chunks are in flight than slots, so whatever a lost instance had been
# given, it was running, and the coordinator hears of each: Dask runs nothing again by itself.
DASK_CONFIG: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.limit": "60s",
    "distributed.comm.retry.count": 3,
}


@dataclass(frozen=True, slots=True)
class Network:
    """How a host's scheduler is reached.

    Parameters
    ----------
    protocol : str
        ``"inproc://"`` for workers in the same process, ``"tls://"`` for any others; nothing else is ever used.
    security : Security, optional
        The certificates; needed for TLS.
    interface : str, optional
        The network interface to listen on; None: the machine's first address.
    """

    protocol: str = "inproc://"
    security: Security | None = None
    interface: str | None = None
