"""The site's pages: what they say of the code is so, and the runner of examples can fail."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ridgeline.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNNER: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "readme_examples.py"))


def road() -> list[str]:
    text = (ROOT / "tests" / "test_package.py").read_text(encoding="utf-8")
    found = re.search(r"^ROAD = \((.*?)\)$", text, re.MULTILINE | re.DOTALL)
    assert found
    return re.findall(r'"(\w+)"', found[1])


def test_the_architecture_page_has_the_rooms_in_their_order():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == road()


def test_every_command_is_named_in_the_tutorials():
    index = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", index))
    assert set(COMMANDS) - told == set()


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    pages = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    missing = {p for p in pages - listed if not p.startswith(("decisions/", "formulas/"))}
    assert missing == set()
    assert {p for p in listed - pages if not p.startswith("formulas/")} == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("tutorials/*.md")), ids=lambda p: p.stem)
def test_every_tutorial_but_the_list_shows_output(page):
    if page.stem != "index":
        found = [e for kind, _, body in RUNNER["BLOCK"].findall(page.read_text("utf-8"))
                 if kind == "console" for e in RUNNER["examples"](body)]
        assert found and any(e.shown for e in found)


def test_an_example_knows_its_status_and_output():
    (first, second) = RUNNER["examples"](
        "$ ridgeline fit X \\\n    --on Y # exit 3\nfits   no\n...\n\n$ ls\nfile\n"
        "$ ridgeline queue\nload 1\n")
    assert (first.command, first.status) == ("ridgeline fit X --on Y # exit 3", 3)
    assert first.shown == ["fits   no"]
    assert (second.status, second.shown) == (0, ["load 1"])


@pytest.mark.parametrize(("shown", "printed", "same"), [
    ("tpot   21.2 ms   derived", "tpot  21.2 ms  derived  ", True),
    ("tpot   21.2 ms", "tpot   22.0 ms", True),
    ("tpot   21.2 ms", "tpot   25.0 ms", False),
    ("tpot   21.2 ms", "tpot   21.2 us", False),
    ("tpot   21.2 ms", "ttft   21.2 ms", False),
    ("usd   2,202,058 USD", "usd   2,190,000 USD", True),
    ("loss 0", "loss 0.2", False),
    ("on 8xH100", "on 4xH100", False),
])
def test_lines_are_compared_by_words_and_numbers(shown, printed, same):
    assert RUNNER["alike"](shown, printed) is same


def test_a_shown_line_that_is_not_printed_in_its_place_is_found():
    printed = "a 1\nb 2\nc 3\n"
    assert RUNNER["missing"](["a 1", "c 3"], printed) is None
    assert RUNNER["missing"](["c 3", "a 1"], printed) == "a 1"
    assert RUNNER["missing"](["b 4"], printed) == "b 4"


def test_a_page_that_shows_something_else_fails(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ ridgeline --version\nnever printed\n```\n")
    monkeypatch.setitem(RUNNER["run_page"].__globals__, "launch", lambda *_: type(
        "Done", (), {"returncode": 0, "stdout": "ridgeline 0.1\n", "stderr": ""}))
    count, wrong = RUNNER["run_page"](page, False)
    assert count == 1 and "never printed" in wrong


def test_renewing_finds_lines_by_their_labels():
    assert RUNNER["renewed"](["ttft", "tpot   9 ms"], "x 1\nttft   2 s\ntpot   20 ms\n") == [
        "ttft   2 s", "tpot   20 ms"]
    with pytest.raises(ValueError, match="nothing printed"):
        RUNNER["renewed"](["load"], "ttft   2 s\n")


def test_the_release_lock_pins_its_tools_by_hash():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"]
    text = (ROOT / "requirements" / "release.lock").read_text("utf-8")
    assert "://" not in text
    pinned = {line.split("==")[0] for line in text.splitlines() if "==" in line}
    for wanted in extras["docs"] + extras["release"]:
        assert wanted.split(">")[0] in pinned
    entries = [e for e in text.replace("\\\n", " ").splitlines() if e.strip()]
    assert entries and all("--hash=sha256:" in e for e in entries)
