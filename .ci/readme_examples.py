"""Run the examples of a Markdown page and stop at the first that fails.

In every block marked `console`, lines that start with `$ ridgeline` or `$ make demo` are run
(continued over a trailing backslash); other lines are output and are skipped. Ridgeline runs in
a scratch folder, so that files it writes do not land in the tree; make runs in the tree.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = ("ridgeline", "make demo")


def commands(page: str) -> list[str]:
    """The commands of a page, in order."""
    found = []
    for block in BLOCK.findall(page):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix("$ ").strip()
            if line.startswith("$ ") and command.startswith(RUN):
                found.append(" ".join(command.split()))
    return found


def main(path: str) -> int:
    """Exit status: 0 if every example of the page ran."""
    root = Path.cwd()
    examples = commands(Path(path).read_text(encoding="utf-8"))
    if not examples:
        print(f"{path} has no examples to run")
        return 1
    programs = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as scratch:
        for command in examples:
            print(f"$ {command}", flush=True)
            place = root if command.startswith("make") else Path(scratch)
            done = subprocess.run(["bash", "-c", command], cwd=place, text=True, timeout=900,
                                  capture_output=True, env={**os.environ, "PATH": programs})
            if done.returncode != 0:
                print(done.stdout, done.stderr, f"exit {done.returncode}", sep="\n")
                return 1
    print(f"{len(examples)} examples ran")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
