"""What does a price list give away? Speed, utilisation, cache size, cache tier, batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ridgeline.catalog.schema import ApiPrice
from ridgeline.economics import cache_cost, token_cost
from ridgeline.economics.dated import ChipRent, Dated, chip_rent
from ridgeline.economics.memory_tiers import (
    TierCost,
    nearest_by_drain,
    nearest_by_price,
    tier_costs,
)
from ridgeline.errors import BadInput
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.machine import Chip
from ridgeline.machine.parse import parse_machine
from ridgeline.quantity import Quantity, check_positive
from ridgeline.questions.answer import Answer, Cell, Table, Value

__all__ = ["InferAsk", "given_row", "infer_price"]

HOLDS = (("cache_write_usd_per_mtok", "5 minutes", 300.0),
         ("cache_write_1h_usd_per_mtok", "1 hour", 3600.0))


@dataclass(frozen=True)
class InferAsk:
    """A price list to be read backwards.

    Attributes:
        row: the list.
        on: chip it is thought to run on, such as "H100-SXM".
        active_params: of the model, known or guessed [param].
        usd_per_hour: rent of one chip; None: the catalog's.
        compute: format of the peak.
        prefill_mfu: share of the peak that prompts reach.
        utilisation: share of the capacity that is sold.
        margin: share of the price that the seller keeps.
        kv_bytes_per_token: of the model where known; None: from the price step, if any.
        today: to tell stale prices; None: the day it is.
    """

    row: ApiPrice
    on: str
    active_params: float
    usd_per_hour: float | None = None
    compute: str = "bf16"
    prefill_mfu: float = 0.6
    utilisation: float = 1.0
    margin: float = 0.0
    kv_bytes_per_token: float | None = None
    today: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Shares are shares."""
        check_positive(active_params=self.active_params)
        for name in ("prefill_mfu", "utilisation"):
            if not 0 < getattr(self, name) <= 1:
                raise BadInput(f"{name.replace('_', ' ')} must be above 0 and at most 1, "
                               f"not {getattr(self, name):g}")
        if not 0 <= self.margin < 1:
            raise BadInput(f"margin must be at least 0 and below 1, not {self.margin:g}")


def given_row(input_usd: float, output_usd: float, **others: Any) -> ApiPrice:
    """A price list typed in by hand: any field of ApiPrice that is a number."""
    check_positive(input_usd_per_mtok=input_usd, output_usd_per_mtok=output_usd, **others)
    return ApiPrice(provider="given", model="given", source="given", date="2000",
                    input_usd_per_mtok=input_usd, output_usd_per_mtok=output_usd, **others)


def infer_price(ask: InferAsk) -> Answer:
    """Read a price list backwards.

    Returns:
        an Answer with `tokens_per_s_per_chip` that the output price pays for, `mfu_decode` and
        `mfu_prefill` behind the prices, `output_input_ratio`, `mfu_decode_from_ratio`,
        `kv_bytes_per_token` behind a price step, `break_even_reuses`; tables "list" and "cache".

    Raises:
        BadInput: a list without input or output price, or numbers out of range.
        UnknownName: no such chip.
    """
    row = ask.row
    if not row.input_usd_per_mtok or not row.output_usd_per_mtok:
        raise BadInput(f"{row.provider} {row.model} has no price of input and output to read")
    chip = parse_machine(ask.on).chip
    rent = chip_rent(chip.name, ask.usd_per_hour, today=ask.today)
    quantities = _quantities(ask, chip, rent)
    kv = quantities.get("kv_bytes_per_token")
    known = ask.kv_bytes_per_token or (kv.value if isinstance(kv, Quantity) else None)
    cache = _cache_table(ask, chip, rent, known)
    return Answer("infer_price", _asked(ask, rent), quantities,
                  tuple(t for t in (_list_table(ask), cache) if t.rows),
                  tuple(_notes(ask, rent, known)), _derivation(ask, chip, rent))


def _paid(ask: InferAsk, usd: float) -> float:
    """What is left of a price for the chips."""
    return usd * (1 - ask.margin) * ask.utilisation


def _quantities(ask: InferAsk, chip: Chip, rent: ChipRent) -> dict[str, Value]:
    row, peak = ask.row, chip.rate(ask.compute)
    sold = float(row.output_usd_per_mtok or 0.0), float(row.input_usd_per_mtok or 0.0)
    per_token = 2.0 * ask.active_params

    def mfu(usd: float) -> Quantity:
        ends = [float(token_cost.mfu_from_price(
            flop_per_token=per_token, usd_per_mtok=_paid(ask, usd), usd_per_chip_hour=hourly,
            peak_flops_per_s=peak)) for hourly in (rent.mid, rent.low, rent.high)]
        return Quantity(ends[0], ends[1], ends[2], "1", "derived")

    rates = [float(token_cost.throughput_from_price(
        n_chips=1.0, usd_per_chip_hour=hourly, usd_per_mtok=_paid(ask, sold[0])))
        for hourly in (rent.mid, rent.low, rent.high)]
    gap = sold[0] / sold[1]
    out: dict[str, Value] = {
        "bound": f"at {gap:.3g}x the input price, output decodes at "
                 f"{ask.prefill_mfu / gap:.1%} of the peak if prompts reach {ask.prefill_mfu:.0%}",
        "tokens_per_s_per_chip": Quantity(rates[0], rates[1], rates[2], "token/s", "derived"),
        "mfu_decode": mfu(sold[0]), "mfu_prefill": mfu(sold[1]),
        "output_input_ratio": Quantity.exact(gap, "1"),
        "mfu_decode_from_ratio": Quantity.exact(float(token_cost.decode_mfu_from_ratio(
            prefill_mfu=ask.prefill_mfu, price_gap=gap)), "1"),
    }
    return out | _step(ask, chip) | _caching(ask) | _modes(row)


def _step(ask: InferAsk, chip: Chip) -> dict[str, Value]:
    """What the price step for long contexts gives away."""
    row = ask.row
    if not row.long_context_threshold:
        return {}
    kv = cache_cost.implied_kv_bytes(
        active_params=ask.active_params, ridge=chip.rate(ask.compute) / chip.memory_bandwidth,
        context_length=row.long_context_threshold)
    out: dict[str, Value] = {
        "price_step_tokens": Quantity.exact(row.long_context_threshold, "token", "datasheet"),
        "kv_bytes_per_token": Quantity.exact(float(kv), "B")}
    for name in ("input", "output"):
        above = getattr(row, f"long_{name}_usd_per_mtok")
        if above:
            out[f"long_{name}_multiple"] = Quantity.exact(
                above / getattr(row, f"{name}_usd_per_mtok"), "x")
    return out


def _caching(ask: InferAsk) -> dict[str, Value]:
    """When a cache pays the user."""
    row = ask.row
    base, read = float(row.input_usd_per_mtok or 0.0), row.cached_read_usd_per_mtok
    if read is None or read >= base:
        return {}
    out: dict[str, Value] = {"cached_read_multiple": Quantity.exact(read / base, "x")}
    for name, words, hold in HOLDS:
        write = getattr(row, name)
        if write and write > base:
            key = words.replace(" ", "_")
            out[f"break_even_reuses_{key}"] = Quantity.exact(float(cache_cost.break_even_reuses(
                write_multiple=write / base, read_multiple=read / base)), "1")
            out[f"premium_per_minute_{key}"] = Quantity.exact(float(
                cache_cost.hold_premium_rate(write_multiple=write / base, hold_time=hold)), "1")
    return out


def _modes(row: ApiPrice) -> dict[str, Value]:
    """Multiples of other ways of service."""
    base = float(row.output_usd_per_mtok or 0.0)
    names = {"batch": row.batch_output_usd_per_mtok, "flex": row.flex_output_usd_per_mtok,
             "priority": row.priority_output_usd_per_mtok}
    return {f"{name}_price_multiple": Quantity.exact(usd / base, "x")
            for name, usd in names.items() if usd}


def _cache_table(ask: InferAsk, chip: Chip, rent: ChipRent, kv: float | None) -> Table:
    """Which memory a write price would pay for, by its price and by its drain time."""
    tiers = tier_costs(chip, rent, today=ask.today)
    rows = [] if kv is None else list(_cache_rows(ask, tiers, kv))
    return Table.of("cache", {"kept for": "1", "premium": "USD", "USD/GB-h implied": "USD",
                              "tier by price": "1", "its USD/GB-h": "USD",
                              "tier by drain time": "1"}, rows,
                    title="Where a cache is kept at these prices [premium: USD/Mtok over input]")


def _cache_rows(ask: InferAsk, tiers: tuple[TierCost, ...], kv: float) -> Iterator[list[Cell]]:
    base = float(ask.row.input_usd_per_mtok or 0.0)
    for name, words, hold in HOLDS:
        write = getattr(ask.row, name)
        if not write or write <= base:
            continue
        hourly = float(cache_cost.gb_hour_from_premium(
            usd_per_mtok=write - base, kv_bytes_per_token=kv, hold_time=hold))
        priced = nearest_by_price(tiers, hourly)
        yield [words, write - base, hourly, priced.name, priced.mid,
               nearest_by_drain(tiers, hold).name]


def _list_table(ask: InferAsk) -> Table:
    """The list itself, so that date and source are on the screen."""
    row = ask.row
    rows: list[list[Cell]] = [[name.removesuffix("_usd_per_mtok").replace("_", " "), usd]
                              for name in row.__struct_fields__
                              if name.endswith("_usd_per_mtok")
                              and (usd := getattr(row, name)) is not None]
    return Table.of("list", {"price": "1", "USD/Mtok": "USD/Mtok"}, rows,
                    title=f"{row.provider} {row.model}")


def _notes(ask: InferAsk, rent: ChipRent, kv: float | None) -> Iterator[str]:
    row = ask.row
    if row.provider != "given":
        yield Dated(row.date, row.source, ask.today or date.today()).note("List prices")
    if rent.note:
        yield rent.note
    yield (f"Read for a seller with a margin of {ask.margin:.0%} who sells "
           f"{ask.utilisation:.0%} of its capacity; {ask.active_params / 1e9:,.4g}B active "
           f"parameters at {ask.compute}.")
    if kv is None:
        yield ("No price step by context and no known cache size: what the cache prices say about "
               "memory needs --kv-bytes or a model.")
    elif row.long_context_threshold and not ask.kv_bytes_per_token:
        yield ("Cache size: as if the step stood where reading the cache takes as long as "
               "computing.")


def _derivation(ask: InferAsk, chip: Chip, rent: ChipRent) -> tuple[Derivation, ...]:
    row = ask.row
    sheet = f"{chip.name} datasheet"
    paid = Given(_paid(ask, float(row.output_usd_per_mtok or 0.0)), "datasheet",
                 f"{row.source} less margin and idle share")
    out = [derive(token_cost.throughput_from_price, {
        "n_chips": 1.0, "usd_per_chip_hour": Given(rent.mid, "assumed", "rent"),
        "usd_per_mtok": paid}, title="Rate of a chip that the output price pays for"),
        derive(token_cost.mfu_from_price, {
            "flop_per_token": Given(2 * ask.active_params, "derived", "2 FLOP a parameter"),
            "usd_per_mtok": paid, "usd_per_chip_hour": Given(rent.mid, "assumed", "rent"),
            "peak_flops_per_s": Given(chip.rate(ask.compute), "datasheet", sheet)},
            title="Decode utilisation behind the output price")]
    if row.long_context_threshold:
        out.append(derive(cache_cost.implied_kv_bytes, {
            "active_params": ask.active_params,
            "ridge": Given(chip.rate(ask.compute) / chip.memory_bandwidth, "datasheet", sheet),
            "context_length": Given(row.long_context_threshold, "datasheet", row.source)},
            title="Cache of a token behind the price step"))
    return tuple(out)


def _asked(ask: InferAsk, rent: ChipRent) -> dict[str, Any]:
    return {"provider": ask.row.provider, "model": ask.row.model, "machine": ask.on,
            "active_params": ask.active_params, "usd_per_hour": rent.mid, "compute": ask.compute,
            "prefill_mfu": ask.prefill_mfu, "utilization": ask.utilisation, "margin": ask.margin}
