"""Run the examples of Markdown pages and compare what they print with what the pages show.

    python .ci/readme_examples.py README.md docs            # every page; a folder means its pages
    python .ci/readme_examples.py --write docs/tutorials    # renew the output shown, after a change

In a block marked `console`, a line that starts with `$ ridgeline` or `$ make demo` is run
(continued over a trailing backslash; `# exit 3` at its end states another status than 0). The
lines under it are its output: each must be printed, in this order, with the same words, and with
numbers within TOLERANCE; `...` stands for lines that are left out. Blocks marked `python` of a
page run as one program. A block with `title="NAME"` is first written to that file. Ridgeline runs
in a scratch folder of the page; make runs in the tree.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([\w.-]+)"')
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\d])")
RUN = ("ridgeline", "make demo")
TOLERANCE = 0.1
# Pages that other commands write, or that hold no examples of their own.
GENERATED = ("accuracy.md", "claims.md", "formulas")


class Example(NamedTuple):
    """A command, the status it must end with, and the lines it must print."""

    command: str
    status: int
    shown: list[str]


def examples(block: str) -> list[Example]:
    """The commands of one console block with the lines under each."""
    found: list[Example] = []
    skip = True
    for line in block.replace("\\\n", " ").splitlines():
        command = line.removeprefix("$ ").strip()
        if line.startswith("$ "):
            skip = not command.startswith(RUN)
            if not skip:
                status = re.search(r"# exit (\d+)$", command)
                found.append(Example(" ".join(command.split()), int(status[1]) if status else 0,
                                     []))
        elif not skip and line.strip() not in ("", "..."):
            found[-1].shown.append(line)
    return found


def commands(page: str) -> list[str]:
    """The commands of a page, in order."""
    return [e.command for kind, _, body in BLOCK.findall(page) if kind == "console"
            for e in examples(body)]


def numbers(line: str) -> list[float]:
    """The numbers of a line."""
    return [float(n.replace(",", "")) for n in NUMBER.findall(line)]


def words(line: str) -> list[str]:
    """The words of a line without its numbers."""
    return NUMBER.sub(" # ", line).split()


def alike(shown: str, printed: str) -> bool:
    """Whether two lines say the same, up to spacing and the tolerance of numbers."""
    return (words(shown) == words(printed)
            and all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
                    for a, b in zip(numbers(shown), numbers(printed), strict=True)))


def missing(shown: list[str], printed: str) -> str | None:
    """The first shown line that was not printed in its place."""
    lines = iter(printed.splitlines())
    for line in shown:
        if not any(alike(line, candidate) for candidate in lines):
            return line
    return None


def label(line: str) -> str:
    """A line's name: its text up to the first wide gap."""
    return re.split(r" {2,}", line.strip())[0]


def renewed(shown: list[str], printed: str) -> list[str]:
    """The shown lines as they are printed now, found by their labels, in order."""
    lines = [line.rstrip() for line in printed.splitlines()]
    fresh, start = [], 0
    for old in shown:
        rest = lines[start:]
        place = next((i for i, new in enumerate(rest) if alike(old, new)), None)
        if place is None:
            place = next((i for i, new in enumerate(rest) if label(new).startswith(label(old))),
                         None)
        if place is None:
            raise ValueError(f"nothing printed is like: {old}")
        fresh.append(rest[place])
        start += place + 1
    return fresh


def launch(command: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run one command as a user at a terminal of 100 columns would."""
    root = Path.cwd()
    programs = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    place = root if command.startswith("make") else scratch
    return subprocess.run(["bash", "-c", command], cwd=place, text=True, timeout=900,
                          capture_output=True,
                          env={**os.environ, "PATH": programs, "COLUMNS": "100"})


def run_page(path: Path, write: bool) -> tuple[int, str]:
    """How many examples of a page ran, and what went wrong (empty when nothing did)."""
    page = path.read_text(encoding="utf-8")
    program, count, fresh = "", 0, page
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for kind, options, body in BLOCK.findall(page):
            if title := TITLE.search(options):
                (scratch / title[1]).write_text(body, encoding="utf-8")
            elif kind == "python":
                program += body
            elif kind == "console":
                for example in examples(body):
                    done = launch(example.command, scratch)
                    count += 1
                    if done.returncode != example.status:
                        return count, (f"$ {example.command}\n{done.stdout}{done.stderr}"
                                       f"exit {done.returncode}, not {example.status}")
                    if write:
                        for old, new in zip(example.shown, renewed(example.shown, done.stdout),
                                            strict=True):
                            fresh = fresh.replace(f"\n{old}\n", f"\n{new}\n", 1)
                    elif line := missing(example.shown, done.stdout):
                        return count, (f"$ {example.command}\nnot printed in its place:\n  {line}\n"
                                       f"printed:\n{done.stdout}")
        if program:
            (scratch / "page.py").write_text(program, encoding="utf-8")
            done = launch("python page.py", scratch)
            count += 1
            if done.returncode != 0:
                return count, f"the page's Python: {done.stdout}{done.stderr}"
    if write and fresh != page:
        path.write_text(fresh, encoding="utf-8")
    return count, ""


def has_examples(page: str) -> bool:
    """Whether a page has anything to run."""
    return bool(commands(page)) or any(kind == "python" for kind, _, _ in BLOCK.findall(page))


def pages(names: list[str]) -> list[Path]:
    """The files named, and the Markdown pages with examples in the folders named."""
    found: list[Path] = []
    for path in map(Path, names):
        inside = sorted(path.rglob("*.md")) if path.is_dir() else [path]
        found += [p for p in inside if not set(p.parts) & set(GENERATED)
                  and (not path.is_dir() or has_examples(p.read_text(encoding="utf-8")))]
    return found


def main(arguments: list[str]) -> int:
    """Exit status: 0 if every example ran and printed what its page shows."""
    write = "--write" in arguments
    wanted = pages([a for a in arguments if a != "--write"])
    total, failed = 0, 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for path, (count, wrong) in zip(wanted, pool.map(lambda p: run_page(p, write), wanted),
                                        strict=True):
            total += count
            failed += bool(wrong) or not count
            print(f"{path}: {wrong or f'{count} examples ran'}", flush=True)
    print(f"{total} examples of {len(wanted)} pages ran, {failed} pages failed")
    return int(failed > 0 or not wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
