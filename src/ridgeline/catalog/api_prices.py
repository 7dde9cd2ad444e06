"""List prices of models behind an API: the shipped table and the genai-prices package as one list.

Both are read into `ApiPrice` rows, so that nothing else needs to know which one a price is from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ridgeline.errors import MissingExtra, UnknownName

if TYPE_CHECKING:
    from ridgeline.catalog.schema import ApiPrice

__all__ = ["find_prices", "package_prices", "priced_model"]

# genai-prices' names -> ours, with the name of the price above a length of prompt.
_KEYS = {"input_mtok": ("input", "long_input"), "output_mtok": ("output", "long_output"),
         "cache_read_mtok": ("cached_read", "long_cached_read"),
         "cache_write_mtok": ("cache_write", ""), "cache_write_1h_mtok": ("cache_write_1h", "")}
_TIERS = {"batch": {"processing": "batch"}, "flex": {"service_tier": "flex"},
          "priority": {"service_tier": "priority"}}
# Who makes models and sells them first-hand, before those who resell.
_MAKERS = ("anthropic", "openai", "google", "deepseek", "mistral", "x-ai", "moonshotai", "zai",
           "minimax", "cohere", "meta")
_DAY = re.compile(r"\b(20\d\d-\d\d-\d\d)\b")


def find_prices(name: str, *, today: date | None = None) -> tuple[ApiPrice, ...]:
    """Rows of both lists whose model name holds every word of a name, the closest names first.

    Args:
        name: such as "gpt-5.4", "claude sonnet 4.5" or "groq llama-3.3-70b"; a provider may be
            among the words.
        today: prices in force on that day; None: on the day it is.

    Returns:
        rows with an input or output price; of one name at one provider, the package's row.
    """
    words = _words(name)
    if not words:
        return ()
    found: dict[tuple[str, str], ApiPrice] = {}
    for row in (*_package_rows(today), *_shipped()):
        own = _words(f"{row.provider} {row.model}")
        if _contains(own, words) and (row.input_usd_per_mtok or row.output_usd_per_mtok):
            found.setdefault((row.provider, row.model.rpartition("/")[2]), row)
    return tuple(sorted(found.values(), key=lambda r: (
        len(_words(r.model)), r.provider not in _MAKERS, r.provider, r.model)))


def priced_model(name: str, *, today: date | None = None) -> ApiPrice:
    """The one row that a name means: an exact name at its maker first, else the closest.

    Raises:
        UnknownName: no list has it, with the nearest names.
    """
    # Digits alone would find any model of that version.
    rows = find_prices(name, today=today) if re.search("[A-Za-z]", name) else ()
    exact = [r for r in rows if _words(r.model.rpartition("/")[2]) == _words(name)]
    if exact or rows:
        return (exact or list(rows))[0]
    known = {r.model for r in (*_package_rows(today), *_shipped())}
    raise UnknownName.among("priced model", name, known,
                            "List them with `ridgeline catalog prices`.")


def package_prices(today: date | None = None) -> tuple[ApiPrice, ...]:
    """Every row of the genai-prices package in force on a day.

    Raises:
        MissingExtra: the package is not installed.
    """
    return _read_package(today or date.today())


@lru_cache(maxsize=4)
def _read_package(today: date) -> tuple[ApiPrice, ...]:
    try:
        from genai_prices import __version__, data
    except ImportError as error:
        raise MissingExtra.needed("the maintained list of API prices", "prices") from error
    newest = max((d for d in _dates(data.providers) if d <= today.isoformat()),
                 default=today.isoformat())
    source = f"genai-prices {__version__} (MIT), newest entry {newest}"
    # Noon: prices that depend on the hour are taken outside the discount.
    when = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    return tuple(row for provider in data.providers for model in provider.models
                 if (row := _row(provider, model, when, source, newest)) is not None)


def _package_rows(today: date | None) -> tuple[ApiPrice, ...]:
    """The package's rows, or none without it."""
    try:
        return package_prices(today)
    except MissingExtra:
        return ()


@lru_cache(maxsize=1)
def _shipped() -> tuple[ApiPrice, ...]:
    from ridgeline.catalog.loader import read_api_prices

    return read_api_prices()


def _dates(providers: Iterable[Any]) -> Iterator[str]:
    """Days that the package mentions: when prices began, and when its comments were checked."""
    for provider in providers:
        yield from _DAY.findall(provider.price_comments or "")
        for model in provider.models:
            yield from _DAY.findall(model.price_comments or "")
            for price in model.prices if isinstance(model.prices, list) else ():
                start = getattr(price.constraint, "start_date", None)
                if start is not None:
                    yield start.isoformat()


def _row(provider: Any, model: Any, when: datetime, source: str, newest: str) -> ApiPrice | None:
    """A model of the package as a row of ours; None when it is not priced by the token."""
    from ridgeline.catalog.schema import ApiPrice

    plain = model.get_prices(when)
    fields = _fields(plain)
    if not fields:
        return None
    for tier, context in _TIERS.items():
        changed = model.get_prices(when, context) if model.price_variants else plain
        if changed.__dict__ != plain.__dict__:
            fields |= _variant(tier, changed)
    return ApiPrice(provider=provider.id, model=model.id, source=source, date=newest,
                    max_input_tokens=float(model.context_window) if model.context_window else None,
                    page=(provider.pricing_urls or [""])[0], **fields)


def _fields(prices: Any) -> dict[str, Any]:
    """Prices by our names, a second tier by prompt length where there is one."""
    fields: dict[str, Any] = {}
    for key, (name, long_name) in _KEYS.items():
        value = prices.__dict__.get(key)
        if value is None:
            continue
        fields[f"{name}_usd_per_mtok"] = float(getattr(value, "base", value))
        tiers = getattr(value, "tiers", [])
        if tiers and long_name:
            fields["long_context_threshold"] = float(tiers[-1].start)
            fields[f"{long_name}_usd_per_mtok"] = float(tiers[-1].price)
    return fields


def _variant(tier: str, prices: Any) -> dict[str, Any]:
    """Prices of a tier of service, those that our rows have a place for."""
    from ridgeline.catalog.schema import ApiPrice

    out = {}
    for name, value in _fields(prices).items():
        place = f"batch_cached_read_{name[12:]}" if (tier, name[:11]) == ("batch", "cached_read") \
            else f"{tier}_{name}"
        if place in ApiPrice.__struct_fields__:
            out[place] = value
    return out


@lru_cache(maxsize=16384)
def _words(text: str) -> tuple[str, ...]:
    """A name in lower-case pieces: letters and numbers apart ("Llama-3.1-70B" -> llama 3 1 70b)."""
    return tuple(re.findall(r"\d+(?:b|m|k)(?![a-z0-9])|\d+|[a-z]+", text.lower()))


def _contains(own: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Whether every word is there, in the same order."""
    rest = iter(own)
    return all(word in rest for word in words)
