"""Runs the code of one page of the documentation, in order, as a reader would. Started as a program of its own.

A block is

* ``python`` or ``shell`` alone: run, all Python blocks of a page in one namespace, shell blocks by ``bash -eu``;
* ``python NAME``, ``yaml NAME`` or ``text NAME``: written to that file;
* anything else: not touched.

A comment ``<!-- not run: REASON -->`` right before a block leaves it out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)[ ]?(.*)$")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
_RUN = {"python", "shell"}
_WRITTEN = {"python", "yaml", "text"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what follows that on the line, its text, its first line, why it is not run."""

    language: str
    name: str
    text: str
    line: int
    reason: str | None = None

    @property
    def is_run(self) -> bool:
        return self.language in _RUN and not self.name and self.reason is None

    @property
    def is_written(self) -> bool:
        return self.language in _WRITTEN and bool(self.name) and self.reason is None


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks, start, last = [], None, ""
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if start is None and fence:
            start, language, name, before = number, fence[1], fence[2], _NOT_RUN.match(last)
        elif start is not None and line == "```":
            text = "\n".join(lines[start + 1 : number]) + "\n"
            blocks.append(Block(language, name, text, start + 2, before[1] if before else None))
            start = None
        elif line.strip():
            last = line
    return blocks


def run_page(page: Path) -> None:
    """Run the blocks of a page in the current folder."""
    namespace = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.is_written:
            Path(block.name).parent.mkdir(parents=True, exist_ok=True)
            Path(block.name).write_text(block.text)
        elif block.is_run and block.language == "python":
            # Blank lines before it, so that a traceback names the line of the page.
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, namespace)
        elif block.is_run:
            print(f"$ {block.text}", flush=True)
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=True)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    run_page(Path(sys.argv[1]))
