"""Flags that change nothing are refused, empty names too; every example of a help runs."""

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ridgeline.cli import COMMANDS
from ridgeline.errors import BadInput, UnknownName

ON = "Llama-3.1-8B --on H100-SXM "
EXAMPLES_OF = ("fit", "estimate", "roofline", "train", "scale", "price", "cache", "fleet", "energy",
               "rack", "demand", "retrieve", "think", "check", "exercise", "catalog")


def command(name: str) -> click.Command:
    module, attribute, _ = COMMANDS[name]
    found: click.Command = getattr(importlib.import_module(module), attribute)
    return found


def run(text: str) -> Result:
    name, *arguments = shlex.split(text)
    return CliRunner().invoke(command(name), arguments, catch_exceptions=False)


@pytest.mark.parametrize(("text", "says"), [
    (f"fit {ON} --optimizer lion", "--optimizer belongs to --training"),
    (f"fit {ON} --zero 3", "--zero belongs to --training"),
    (f"fit {ON} --training --context 8192", "--context is of serving.*--seq"),
    ("roofline --matmul B=64,D=8192,F=28672 --on H100 --tp 3", "--tp does not go with --matmul"),
    ("roofline --matmul B=64,D=8192,F=28672 --on H100 --scenario x.toml", "--scenario does not go"),
    (f"roofline {ON} --compute fp8", "--compute belongs to --matmul"),
    (f"roofline {ON} --formats bf16,bf16,bf16", "--formats belongs to --matmul"),
    (f"price {ON} --margin 0.2", "--margin belongs to --infer"),
    (f"price {ON} --prefill-mfu 0.6", "--prefill-mfu belongs to --infer"),
    ("price --infer 3/15 --active 10B --on H100 --prompt 3", "--prompt does not go with --infer"),
    ("energy --retrieval 10Mx768 --pue 3", "--pue does not go with"),
    ("think --routes 0.8:1,0.2:16 --ks 1,10", "--results"),
    ("retrieve --docs 1M --dim 768 --encoder-on H100", "--embedder or --reranker"),
    ("train Llama-3.1-8B --on 8xH100 --tokens 1B --dp -1", "dp must be at least 1"),
])
def test_flags_that_would_change_nothing_are_refused(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(text)


@pytest.mark.parametrize("flag", ["--plot", "--catalog", "--scenario", "--save-scenario"])
def test_an_empty_file_name_is_refused(flag: str) -> None:
    with pytest.raises(BadInput, match=f"{flag} needs a file name"):
        run(f"fit {ON} {flag}=")


@pytest.mark.parametrize("flag", ["--weights", "--experts", "--kv"])
def test_an_empty_format_is_refused(flag: str) -> None:
    with pytest.raises(BadInput, match="is an empty text"):
        run(f"estimate {ON} {flag} ''")


def test_a_price_list_needs_a_name_with_letters() -> None:
    with pytest.raises(UnknownName, match="unknown priced model '-1'"):
        run("price --infer -1 --on H100 --active 100B")


def test_a_claim_that_cannot_be_read_is_answered_in_a_few_words() -> None:
    with pytest.raises(BadInput, match="cannot read a claim") as refused:
        run("check xyz")
    assert len(str(refused.value)) < 400


def examples(name: str) -> list[str]:
    text = re.sub(r"\\\n\s*", " ", command(name).help or "")
    return [line.strip().removeprefix("ridgeline ") for line in text.splitlines()
            if line.strip().startswith("ridgeline ")]


@pytest.mark.parametrize("name", EXAMPLES_OF)
def test_every_example_of_the_help_runs(name: str, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = examples(name)
    assert found
    for text in found:
        if re.search(r"--metrics|\b(ours|systems|samples|claims)\.\w+", text):
            continue    # these need a server or a file of the user's own
        done = run(text)
        assert done.exit_code == 0, (text, done.output)
        if "--json" in text:
            json.loads(done.output)
        else:
            assert max(map(len, done.output.splitlines())) <= 100, text


@pytest.mark.parametrize("kind", ["chips", "models", "links", "tiers", "prices", "engines",
                                  "formats"])
def test_catalogs_are_json_without_infinities(kind: str) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    assert json.loads(run(f"catalog {kind} --json").output, parse_constant=refuse)


@pytest.mark.parametrize(("text", "says"), [
    (f"estimate {ON} --prompt 100 --output 100 --concurrency 1000000", "that are replayed"),
    (f"demand {ON} --users 1e300", "users must be at most 1e.12"),
])
def test_counts_beyond_sense_are_refused_at_once(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(text)


def every_command() -> list[tuple[str, click.Command]]:
    """Every command and every command of a group, with its words."""
    found = []
    for name in COMMANDS:
        found.append((name, command(name)))
        inner = getattr(found[-1][1], "commands", {})
        found += [(f"{name} {word}", one) for word, one in inner.items()]
    return found


@pytest.mark.parametrize(("words", "found"), every_command(),
                         ids=[words for words, _ in every_command()])
def test_every_option_says_what_it_is(words, found):
    texts = {option.opts[0]: option.help or "" for option in found.params
             if isinstance(option, click.Option) and option.name != "help"}
    unsaid = [flag for flag, text in texts.items() if not text or text.startswith(("Of ", "["))]
    assert unsaid == []
    assert not {"--price", "--usd-per-chip-hour"} & set(texts)
    assert texts.get("--usd-per-hour", "Rent of one chip").startswith("Rent of one chip")
