"""``python tests/chaos [--rounds 500] [--seed 1] [--on slurm]``: rounds of all kinds of job, and what they came to."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from chaos_ground import Ground, Tally
from chaos_jobs import GROUNDS
from chaos_slurm import OnSlurm
from chaos_stage import Here, Stage
from servers.slurm import slurm_cluster


def main() -> int:
    """Run the rounds; those that fail are told with their seed, and the others go on."""
    parser = argparse.ArgumentParser(prog="tests/chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones follow")
    parser.add_argument("--kind", choices=list(GROUNDS), action="append", help="of job; may be repeated (default: all)")
    parser.add_argument("--on", choices=["local", "slurm"], default="local", help="where jobs run; SLURM is started")
    options = parser.parse_args()
    os.environ |= {"DASK_BATCH_HOST_IDLE": "10", "DASK_BATCH_USER": "chaos", "MLFLOW_DISABLE_TELEMETRY": "true"}
    folder = Path(tempfile.mkdtemp(prefix="dask-batch-chaos-"))
    failed: list[str] = []
    with ExitStack() as stack:
        kinds = options.kind or list(GROUNDS)
        stage = _on_slurm(stack) if options.on == "slurm" else Here()
        grounds = {name: stack.enter_context(GROUNDS[name](folder / name, stage)) for name in kinds}
        for seed in range(options.seed, options.seed + options.rounds):
            kind = kinds[seed % len(kinds)]
            failed += _round(grounds[kind], kind, seed)
        for name, ground in grounds.items():
            print(f"{name}: {ground.tally}")
        print(f"in all: {sum((ground.tally for ground in grounds.values()), Tally())}", flush=True)
    print("\n".join([*failed, f"{folder} is kept"] if failed else ["nothing is left"]))
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed else 0


def _on_slurm(stack: ExitStack) -> Stage:
    cluster = stack.enter_context(slurm_cluster())
    os.environ["SLURM_CONF"] = str(cluster.conf)
    return OnSlurm(cluster)


def _round(ground: Ground, kind: str, seed: int) -> list[str]:
    """Play one round and print how it went; return what failed."""
    began = time.monotonic()
    try:
        print(f"seed {seed} ({kind}): the same after {ground.play(seed)}", end="", flush=True)
        failed = []
    except AssertionError as error:
        failed = [f"seed {seed} ({kind}): {error}"]
        print(failed[0], end="", flush=True)
    print(f"; {time.monotonic() - began:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
