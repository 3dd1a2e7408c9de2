"""``python -m benchmarks [case…] [--scale 1] [--rounds 3] [--report]``: measure, and write ``RESULTS.md``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.case import measure
from benchmarks.cases import CASES, case
from benchmarks.data import FOLDER

_RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


def main() -> int:
    """Measure the cases that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; all if none is named")
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    parser.add_argument("--scale", type=float, default=scale, help="of the sizes (default: BENCH_SCALE, else 1)")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds per case")
    parser.add_argument("--report", action="store_true", help="write RESULTS.md also when only some cases run")
    options = parser.parse_args()
    if unknown := sorted(set(options.cases) - set(CASES)):
        parser.error(f"there is no case {', '.join(unknown)}; cases: {', '.join(CASES)}")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name in options.cases or CASES:
        chosen = case(name, options.scale)
        print(f"{chosen.name}: {chosen.title}", flush=True)
        one = measure(chosen, options.rounds, lambda line: print(line, flush=True))
        for figure in chosen.figures:
            print(f"  → {figure.text}: {one.median(figure):.3g} {figure.unit}  {figure.bound}", flush=True)
        if options.report or not options.cases:
            report.keep(one, options.scale, FOLDER / "results")
            report.write(list(CASES), FOLDER / "results", _RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
