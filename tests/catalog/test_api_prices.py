"""Prices behind an API: both lists read alike, dated, and found by name."""

from datetime import date

import pytest

from ridgeline.catalog import load_api_prices
from ridgeline.catalog.api_prices import find_prices, package_prices, priced_model
from ridgeline.errors import UnknownName

TODAY = date(2026, 11, 21)


def test_the_package_is_dated_by_its_newest_entry() -> None:
    rows = package_prices(TODAY)
    assert len(rows) > 500
    assert {row.date for row in rows} == {rows[0].date}
    assert "2026" <= rows[0].date <= TODAY.isoformat()
    assert "genai-prices" in rows[0].source and rows[0].date in rows[0].source


def test_prices_that_have_not_begun_are_not_in_force() -> None:
    early = {(r.provider, r.model): r for r in package_prices(date(2025, 1, 1))}
    late = {(r.provider, r.model): r for r in package_prices(TODAY)}
    assert early != late
    row = late["google", "gemini-2.5-pro"]
    assert row.input_usd_per_mtok and row.long_input_usd_per_mtok
    assert row.long_input_usd_per_mtok > row.input_usd_per_mtok
    assert row.batch_output_usd_per_mtok == pytest.approx(0.5 * (row.output_usd_per_mtok or 0))


def test_both_lists_agree_where_they_were_checked() -> None:
    package = {(row.provider, row.model): row for row in package_prices(TODAY)}
    pairs = [(row, package[row.provider, row.model]) for row in load_api_prices()
             if row.crosscheck == "agrees" and (row.provider, row.model) in package]
    same = sum(a.input_usd_per_mtok == pytest.approx(b.input_usd_per_mtok or -1, rel=0.01)
               for a, b in pairs)
    assert len(pairs) > 20 and same >= 0.9 * len(pairs)


@pytest.mark.parametrize(("name", "provider", "model"), [
    ("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"), ("gpt-5.4", "openai", "gpt-5.4"),
    ("GPT 5.4", "openai", "gpt-5.4"), ("gemini-2.5-pro", "google", "gemini-2.5-pro")])
def test_a_name_means_its_makers_price(name: str, provider: str, model: str) -> None:
    row = priced_model(name, today=TODAY)
    assert (row.provider, row.model) == (provider, model)


def test_open_models_are_found_at_every_provider() -> None:
    rows = find_prices("Llama-3.1-70B", today=TODAY)
    assert len({row.provider for row in rows}) > 3
    assert all("70b" in row.model.lower() for row in rows)
    assert find_prices("", today=TODAY) == () == find_prices("no-such-model-9", today=TODAY)


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"gpt-5\.4"):
        priced_model("gtp-5.4", today=TODAY)


def test_without_the_package_the_shipped_list_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from ridgeline.catalog import api_prices
    from ridgeline.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "genai_prices", None)
    api_prices._read_package.cache_clear()
    with pytest.raises(MissingExtra, match=r"ridgeline\[prices\]"):
        package_prices(TODAY)
    rows = find_prices("claude-sonnet-4-5", today=TODAY)
    assert rows and all("litellm" in row.source for row in rows)
    api_prices._read_package.cache_clear()
