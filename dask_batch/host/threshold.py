"""When a job has failed too often. Pure."""

from __future__ import annotations

from dask_batch.jobfolder.chunks import Counts

__all__ = ["exceeded"]

# A percentage says little about the first few items.
_ENOUGH_ITEMS = 1_000
_ENOUGH_SHARE = 0.1


def exceeded(threshold: int | str, counts: Counts, *, files: int, share: float, table: bool) -> str | None:
    """Return why a job has more failures than its ``error_threshold`` allows, or None.

    Parameters
    ----------
    threshold : int or str
        -1: any number may fail; n: more than n failed items end the job; ``"2%"``: more than that share of what is
        finished, looked at from 1,000 items or 10 % of the input on, and at the end.
    counts : Counts
        What is finished.
    files : int
        Files in the input.
    share : float
        How much of the input is finished, 0 to 1, by bytes; 1 at the end.
    table : bool
        For tables the threshold holds for rows and for files, each.

    Examples
    --------
    >>> exceeded(2, Counts(items=10, failed=3), files=10, share=0.5, table=False)
    '3 items failed, more than error_threshold 2 allows'
    """
    kinds = [("items", counts.failed, counts.items)]
    if table:
        rows_failed = counts.failed - counts.failed_files
        kinds = [("rows", rows_failed, counts.items), ("files", counts.failed_files, round(files * share))]
    for what, failed, of in kinds:
        if isinstance(threshold, int):
            if 0 <= threshold < failed:
                noun = what[:-1] if failed == 1 else what
                return f"{failed} {noun} failed, more than error_threshold {threshold} allows"
        elif _too_many(float(threshold.rstrip("% ")), failed, of) and (of >= _ENOUGH_ITEMS or share >= _ENOUGH_SHARE):
            return f"{failed} of {of} {what} failed, more than error_threshold {threshold} allows"
    return None


def _too_many(percent: float, failed: int, of: int) -> bool:
    return failed > 0 and failed * 100 > percent * max(of, failed)
