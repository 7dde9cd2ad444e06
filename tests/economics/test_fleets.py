"""Fleets as text and as files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.economics.fleets import parse_fleet, read_fleet
from ridgeline.errors import BadInput, UnknownName

CHIPS = ("H100-SXM", "B200-SXM", "TPU-v5e", "MI300X")


@given(st.lists(st.tuples(st.integers(1, 10**8), st.sampled_from(CHIPS)), min_size=1, max_size=4))
def test_text_is_read_back(pools: list[tuple[int, str]]) -> None:
    text = ", ".join(f"{count}x{chip}" for count, chip in pools)
    assert [(p.count, p.chip.name) for p in parse_fleet(text)] == pools


def test_a_file_says_more(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('[[pool]]\nchips = "1000xH100-SXM"\nusd_per_hour = 2\ndecode_mfu = 0.15\n'
                    'utilization = 0.5\n[[pool]]\nchips = "72xGB200"\nwatts = 1450.0\n')
    first, second = parse_fleet(str(file))
    assert (first.count, first.usd_per_hour, first.decode_mfu, first.utilisation) == (
        1000, 2.0, 0.15, 0.5)
    assert (second.chip.name, second.watts, second.usd_per_hour) == ("GB200", 1450.0, None)


@pytest.mark.parametrize(("text", "says"), [
    ("", "names no chips"), ("H100", "COUNTxCHIP"), ("0xH100", "number of chips"),
    ("-3xH100", "COUNTxCHIP"), ("1.5xH100", "number of chips"), ("8xH100-SMX9", "did you mean"),
    ("9999999999999xH100", "number of chips"), ("none.toml", "cannot read")])
def test_unreadable_fleets(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_fleet(text)


@pytest.mark.parametrize(("content", "says"), [
    ('[[pool]]\nchips = "8xH100-SXM"\nmfu = 0.3\n', "unknown key"),
    ('[[pool]]\nchips = "8xH100-SXM"\ndecode_mfu = 1.5\n', "decode_mfu"),
    ('[[pool]]\nchips = 8\n', "COUNTxCHIP"), ('chips = "8xH100-SXM"\n', r"\[\[pool\]\]"),
    ('[[pool]]\nchips = "8xH100-SXM"\nwatts = true\n', "watts"), ("[[pool", "not valid TOML")])
def test_wrong_files(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(content)
    with pytest.raises(BadInput, match=says) as failure:
        read_fleet(file)
    assert "\n" not in str(failure.value)


def test_the_nearest_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[[pool]]\nchips = "8xH100-SXM"\ndecode_mfus = 0.1\n')
    with pytest.raises(UnknownName, match="'decode_mfu'"):
        read_fleet(file)
