"""Advice in errors speaks of Python; in a shell the same things have other names."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["in_shell_words"]

# What a message is about, for the commands in it.
_NAMED = {
    "JOB": re.compile(r"\bjob '([^']+)'"),
    "ENDPOINT": re.compile(r"\bendpoint '([^']+)'"),
    "DEPLOYMENT": re.compile(r"\bdeployment '([^']+)'"),
}

# Whole phrases, the longer ones first; capitals are what the message is about, or what is to be filled in.
_PHRASES = [
    (r"\bep\.deploy\(ModelDeployment\(…\)\) makes one", "`dask-batch deployment create -e ENDPOINT -f FILE` makes one"),
    (r"\bdeploy it with ws\.endpoints\['([^']+)'\]\.deploy\(…\)", r"deploy it with -e \1"),
    (r"\bdeploy\(…, replace=True\)", "`dask-batch deployment update -e ENDPOINT -f FILE`"),
    (r"\bset ep\.default_deployment = …", "`dask-batch endpoint update -n ENDPOINT --default-deployment NAME`"),
    (r"\(deployment=…\)", "(--deployment-name …)"),
    (r"\bws\.jobs\.list\(\)", "`dask-batch job list`"),
    (r"\bws\.jobs\.delete\('([^']+)'\)", r"`dask-batch job delete -n \1`"),
    (r"\bws\.jobs\['([^']+)'\]\.wait\(\), or end it with \.cancel\(\)",
     r"`dask-batch job wait -n \1`, or end it with `dask-batch job cancel -n \1`"),
    (r"\bws\.jobs\['([^']+)'\]", r"`dask-batch job wait -n \1`"),
    (r"\bcancel\(\) it before delete\(\)", "cancel it first: `dask-batch job cancel -n JOB`"),
    (r"\bwait\(\) for it", "wait for it (`dask-batch job wait -n JOB`)"),
    (r"\bresults\(as_='path'\) names the folder", "`dask-batch job show -n JOB` names the folder"),
    (r"; as_='pandas' reads its partial results", "; `dask-batch job results -n JOB --partial` reads what there is"),
    (r"Workspace\(root, catalog='([^']+)'\)", r"--catalog \1"),
    (r"(, or|or) (?:Environment|Model)\(\.\.\.\)", r"\1 a definition"),
    # Whose class it is, is nothing that a shell knows of.
    (r"^(?:ScoringSettings|ModelDeployment|EndpointSpec|(?:Local|Slurm)Compute|Environment|Model|Data): ",
     "the command line: "),
]  # fmt: skip

# Methods of a job; without `job.` only with brackets, as words of plain English have them too.
_METHODS = "cancel|delete|download|errors|logs|mini_batches|resume|results|retry_failed|stream|wait"
_CALL = re.compile(rf"(?<![\w.])(?:job\.)?({_METHODS})\(([^()]*)\)")

_FLAGS = {
    "cancel_jobs": "--cancel-jobs",
    "catalog": "--catalog",
    "deployment": "--deployment-name",
    "idempotency_key": "--idempotency-key",
    "job_name": "--job-name",
    "max_items": "--max-items",
    "name": "--name",
    "output": "--output-path",
    "output_file_name": "--output-file-name",
    "overwrite": "--overwrite",
    "params": "--param",
    "python": "--python",
    "status": "--status",
}
# These are options of one noun and keys in the files of another; the key is right for both.
_KEYS = ("code", "conda_file", "environment", "requirements", "scoring_script")

_VALUE = r"('[^']*'|True\b|-?\d+\b|(?![\w'\"\[{(…]))"
_KEYWORD = re.compile(rf"(?<![\w.'`/-])({'|'.join([*_FLAGS, *_KEYS])})={_VALUE}")


def in_shell_words(message: str) -> str:
    """Return an error's message with the methods and keywords it advises turned into commands and options.

    Indented lines are left alone: they are from tracebacks of users.

    Examples
    --------
    >>> in_shell_words("job 'a' failed; see job.logs(kind='host')")
    "job 'a' failed; see `dask-batch job logs -n a --kind host`"
    >>> in_shell_words("job 'a' failed; job.resume(timeout=9) goes on")
    "job 'a' failed; `dask-batch job resume -n a --set timeout=9` goes on"
    >>> in_shell_words("name another place, or take it with overwrite=True")
    'name another place, or take it with --overwrite'
    """
    about = {word: found[1] for word, pattern in _NAMED.items() if (found := pattern.search(message))}
    lines = message.split("\n")
    return "\n".join(line if line[:1].isspace() else _line(line, about) for line in lines)


def _line(line: str, about: dict[str, str]) -> str:
    for pattern, phrase in _PHRASES:
        line = re.sub(pattern, _filled(phrase, about), line)
    line = _CALL.sub(lambda call: _command(call[1], call[2], about), line)
    # What is a command by now is left alone.
    parts = re.split(r"(`dask-batch [^`]*`)", line)
    return "".join(part if n % 2 else _KEYWORD.sub(_option, part) for n, part in enumerate(parts))


def _filled(phrase: str, about: dict[str, str]) -> Callable[[re.Match[str]], str]:
    def fill(match: re.Match[str]) -> str:
        text = re.sub(r"\b(JOB|ENDPOINT|DEPLOYMENT)\b", lambda word: about.get(word[1], word[1]), phrase)
        return re.sub(r"\\(\d)", lambda group: match[int(group[1])], text)

    return fill


def _command(verb: str, arguments: str, about: dict[str, str]) -> str:
    given = [one.strip() for one in arguments.split(",") if one.strip()]
    options = [_argument(verb, one) for one in given]
    return f"`{' '.join(['dask-batch job', verb.replace('_', '-'), '-n', about.get('JOB', 'JOB'), *options])}`"


def _argument(verb: str, argument: str) -> str:
    name, sign, value = argument.partition("=")
    if verb in ("resume", "retry_failed"):
        return f"--set {name}{sign}{value}"
    plain = value.strip("'\"")
    return f"--{name}" if plain in ("", "True") else f"--{name} {plain}"


def _option(keyword: re.Match[str]) -> str:
    name, value = keyword[1], keyword[2]
    if name in _KEYS:
        return f"{name}:" if not value else keyword[0]
    return _FLAGS[name] if value in ("", "True") else f"{_FLAGS[name]} {value}"
