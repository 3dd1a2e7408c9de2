"""What SLURM's commands say when they fail: whether it passes, and what to do. Pure."""

from __future__ import annotations

import re

from dask_batch.errors import SlurmError

__all__ = ["refusal"]

_LATER = "it is tried again"
_CHANGE_EXTRAS = "change job_extra_directives of the compute"
_NODES = "`sinfo -o '%P %c %m %G %f'` lists cores, memory, GPUs and features of the nodes of each partition"

# Pattern, whether it is permanent, the next step. The first that is found counts: "Job violates accounting/QOS policy"
# says nothing by itself, but newer SLURMs name the limit before it.
_KNOWN = [
    (r"invalid partition", True, "`sinfo -s` lists the partitions; change partition of the compute"),
    (
        r"Invalid account",
        True,
        "`sacctmgr show associations user=$USER` lists your accounts; change account or partition of the compute",
    ),
    (r"Invalid qos", True, "`sacctmgr show associations user=$USER` lists what you may use; change qos of the compute"),
    (
        r"User's group not permitted|Access/permission denied",
        True,
        "ask its administrators, or change partition",
    ),
    (r"generic resource|\bgres\b|Trackable RESource", True, f"{_NODES}; change gpus of the compute"),
    (r"time limit is invalid|Invalid --time", True, "`sinfo -o '%P %l'` lists the limits; change walltime"),
    (
        r"Requested node configuration|processors requested|Memory (required|specification)|CPU count per node|"
        r"Node count specification|Invalid feature|constraint|Invalid node name",
        True,
        f"{_NODES}; change cores, memory, gpus, constraint or partition of the compute",
    ),
    (r"reservation is invalid|Invalid license|Invalid dependency|Job dependency problem", True, _CHANGE_EXTRAS),
    (
        r"unrecognized option|invalid option|Invalid --|Invalid numeric|Invalid .* specification|Invalid directive|"
        r"requires an argument|does not look like a batch script|script is empty|DOS line breaks",
        True,
        _CHANGE_EXTRAS,
    ),
    (r"Invalid user", True, "SLURM does not know this user: ask the administrators of the cluster"),
    (r"Unable to process configuration|ClusterName needs to be", True, "SLURM_CONF must name the cluster's slurm.conf"),
    (r"cannot stat file", False, f"SLURM_CONF must name the cluster's slurm.conf; {_LATER}"),
    (r"Max\w*PerJob|Min(Cpu|Mem|Node|GRES)|PerNode|MaxWall", True, "change cores, memory, gpus or walltime"),
    (r"MaxSubmit|MaxJobs|job submit limit|temporarily unable to accept", False, f"{_LATER}; max_instances limits jobs"),
    (r"inactive or drain", False, f"the partition takes no jobs at the moment; {_LATER}"),
    (
        r"Unable to contact|Connection refused|connect failure|timed out|Zero Bytes|authentication|munge",
        False,
        f"the SLURM controller does not answer; {_LATER}",
    ),
]


def refusal(command: str, said: str) -> SlurmError:
    """Return the error for a command of SLURM that has failed.

    Parameters
    ----------
    command : str
        Its name.
    said : str
        What it wrote to standard error.

    Returns
    -------
    SlurmError
        With SLURM's words, then the next step. What nobody has heard of counts as passing.

    Examples
    --------
    >>> error = refusal("sbatch", "sbatch: error: Batch job submission failed: Invalid qos specification")
    >>> error.permanent, str(error).partition(";")[0]
    (True, 'sbatch: Batch job submission failed: Invalid qos specification: `sacctmgr show associations user=$USER` \
lists what you may use')
    """
    words = _words(said)
    for pattern, permanent, advice in _KNOWN:
        if re.search(pattern, words, re.IGNORECASE):
            return SlurmError(f"{command}: {words}: {advice}", permanent=permanent)
    return SlurmError(f"{command}: {words or 'failed without a word'}: {_LATER}")


def _words(said: str) -> str:
    """Return the lines without the prefixes that all of them have, each once."""
    lines = [re.sub(r"^\w+: (?:(?:error|fatal): )?", "", line.strip()) for line in said.splitlines()]
    return "; ".join(dict.fromkeys(line.rstrip(".") for line in lines if line and not line.startswith("Try ")))
