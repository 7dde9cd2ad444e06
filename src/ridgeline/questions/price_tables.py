"""Tables, notes, derivation, figure and CSV of `price`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ridgeline.economics import token_cost
from ridgeline.economics.dated import Dated
from ridgeline.economics.surface import price_surface
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.questions.answer import Cell, Table
from ridgeline.questions.performance import compute_peak
from ridgeline.questions.price import Priced, step_of
from ridgeline.report.figure import Axis, Figure, Line, Scatter, Text

__all__ = ["derivation", "notes", "price_csv", "price_figure", "tables"]

_MARKET_ROWS = 8


def tables(found: Priced) -> tuple[Table, ...]:
    """Every table that has rows."""
    made = [_fast_mode(found), _context(found), _utilisation(found), _market(found), _rents(found)]
    return tuple(t for t in made if t.rows)


def _fast_mode(found: Priced) -> Table:
    """Speed and price against the batch, as multiples of the batch priced."""
    speeds, rows = found.speeds, []
    column = int(np.argmin(np.abs(speeds.contexts - found.context)))
    held = speeds.room[column]
    for batch, step in zip(speeds.batches, speeds.decode[:, column], strict=True):
        cost = float(found.cost(batch / step))
        rows.append([batch, 1 / step, float(found.decode_s / step), cost, cost / found.output,
                     bool(batch <= held)])
    if not math.isfinite(found.output):
        rows = []
    return Table.of("fast_mode", {"batch": "1", "tokens/s/user": "token/s", "speed": "x",
                                  "USD/Mtok": "USD/Mtok", "price": "x", "fits": "1"}, rows,
                    title=f"Fast mode: speed and output price at {found.context:,.0f} tokens, "
                          f"against batch {found.batch:g}")


def _context(found: Priced) -> Table:
    """Cost by length of context, each at the largest batch that fits."""
    rows: list[list[Cell]] = []
    contexts, batches, costs = step_of(found)
    if math.isfinite(found.output):
        reads = np.asarray(found.cost(found.widest.prefill_rate), float)
        rows = [[round(float(contexts[i])), float(batches[i]), float(costs[i]),
                 float(costs[i]) / found.output, float(reads[i])]
                for i in range(0, len(contexts), 3)]
    return Table.of("context", {"context": "token", "batch": "1", "output": "USD/Mtok",
                                "against priced": "x", "input": "USD/Mtok"}, rows,
                    title="Length of context: largest batch that fits, and its price")


def _utilisation(found: Priced) -> Table:
    """What idle hours do to the cost, and to the margin where there is a price."""
    rows: list[list[Cell]] = []
    sold = found.ask.list_price
    for share in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        factor = found.ask.utilisation / share
        margin = None if sold is None else float(token_cost.gross_margin(
            cost_per_mtok=found.output * factor, usd_per_mtok=sold.output))
        rows.append([share, found.input * factor, found.output * factor,
                     found.request * factor, margin])
    names = {"sold share": "1", "input": "USD/Mtok", "output": "USD/Mtok", "request": "USD",
             "margin on output": "1"}
    if sold is None:
        names.pop("margin on output")
        rows = [row[:-1] for row in rows]
    return Table.of("utilisation", names, rows, title="Cost by share of the capacity that is sold")


def _market(found: Priced) -> Table:
    """What others ask for this model, and what would be left at that price."""
    from datetime import date

    from ridgeline.catalog.api_prices import find_prices

    today = found.ask.today or date.today()
    name = found.resolved.architecture.name.rpartition("/")[2]
    rows: list[list[Cell]] = []
    for row in find_prices(name, today=today)[:_MARKET_ROWS]:
        sold = row.output_usd_per_mtok
        margin = None if not sold or not math.isfinite(found.output) else float(
            token_cost.gross_margin(cost_per_mtok=found.output, usd_per_mtok=sold))
        rows.append([row.provider, row.model.rpartition("/")[2], row.input_usd_per_mtok,
                     row.cached_read_usd_per_mtok, sold, margin,
                     Dated(row.date, row.source, today).label])
    return Table.of("market", {"provider": "1", "model": "1", "input": "USD", "cached": "USD",
                               "output": "USD", "margin on output": "1", "date": "1"}, rows,
                    title="List prices of this model [USD/Mtok], and the margin they would leave")


def _rents(found: Priced) -> Table:
    """Where the rent of a chip comes from."""
    from datetime import date

    from ridgeline.catalog import load_rent_prices

    today = found.ask.today or date.today()
    rows: list[list[Cell]] = [
        [row.provider, row.item, row.usd_per_hour_low, row.usd_per_hour_high,
         Dated(row.date, row.source, today).label, row.source]
        for row in load_rent_prices() if row.chip == found.resolved.cluster.chip.name]
    return Table.of("rents", {"provider": "1", "item": "1", "from": "USD", "to": "USD",
                              "date": "1", "source": "1"},
                    rows if found.rent.dated else (), title="Rents of this chip, an hour")


def notes(found: Priced) -> tuple[str, ...]:
    """Assumptions, and where prices are from."""
    out = [] if not found.rent.note else [found.rent.note]
    if found.ask.ideal:
        out.append("Ideal: whole-model roofline at datasheet peaks.")
        if found.batch > found.speeds.room[int(np.argmin(np.abs(
                found.speeds.contexts - found.context)))]:
            out.append(f"A batch of {found.batch:g} at {found.context:,.0f} tokens does not fit in "
                       "memory.")
    out.append("Input: prompts alone in full steps; output: decode steps alone at this batch; "
               "a request adds both. The shared loop is the same request when prompts and "
               "decoding take turns under the engine's scheduler.")
    if math.isfinite(found.cached):
        out.append("Cached: bringing the cache back over the host link while the chip waits; "
                   "`ridgeline cache` adds what holding it costs.")
    out.append("List prices, where any are known: genai-prices where installed, else the shipped "
               "table, each with its date.")
    return tuple(out)


def derivation(found: Priced) -> tuple[Derivation, ...]:
    """The cost of an output token, of an input token, and the knee."""
    if not math.isfinite(found.output):
        return ()
    from ridgeline.timing.critical_batch import kv_knee

    chip = found.resolved.cluster.chip
    rent = Given(found.rent.mid, "assumed",
                 found.rent.dated.label if found.rent.dated else "given")
    sold = Given(found.ask.utilisation, "assumed", "share of the capacity sold")
    chips = Given(float(found.speeds.chips), "assumed", "chips of a replica")
    active = float(found.resolved.architecture.active_params)
    out = derive(token_cost.token_cost, {
        "n_chips": chips, "usd_per_chip_hour": rent, "utilisation": sold,
        "throughput": Given(found.batch / found.decode_s, "calibrated", "batch over step time"),
    }, title="Cost of output tokens")
    paid = derive(token_cost.mfu_token_cost, {
        "flop_per_token": Given(found.flop[0], "derived", "config, attention included"),
        "usd_per_chip_hour": rent,
        "peak_flops_per_s": Given(compute_peak(found.resolved), "datasheet",
                                  f"{chip.name} datasheet"),
        "mfu": Given(found.mfu_prefill * found.ask.utilisation, "calibrated",
                     "prefill utilisation times share sold"),
    }, title="Cost of input tokens")
    if found.kv_bytes <= 0:
        return out, paid
    knee = derive(kv_knee, {
        "active_params": Given(active, "derived", "config"),
        "ridge": Given(found.ridge, "datasheet", f"{chip.name} datasheet"),
        "kv_bytes_per_token": Given(found.kv_bytes, "derived", "config and KV format")},
        title="Context beyond which decoding is memory-bound at every batch")
    return out, paid, knee


def price_figure(found: Priced) -> Figure:
    """The fast-mode curve: output price against the speed of a user, one line a context."""
    speeds, series = found.speeds, []
    shown = np.unique(np.append(np.linspace(0, len(speeds.contexts) - 1, 5).astype(int),
                                int(np.argmin(np.abs(speeds.contexts - found.context)))))
    for i in shown:
        held = speeds.fits[:, i]
        if held.sum() > 1:
            series.append(Line((1 / speeds.decode[held, i]).tolist(),
                               np.asarray(found.cost(speeds.output_rate[held, i])).tolist(),
                               f"{speeds.contexts[i]:,.0f} tokens",
                               hover=[f"batch {b:g}" for b in speeds.batches[held]]))
    point = Scatter([1 / found.decode_s], [found.output], "priced", size=9)
    contexts, _, costs = step_of(found)
    label = Text(1 / found.decode_s, found.output, f"batch {found.batch:g}")
    name = f"{found.resolved.architecture.name} on {found.resolved.scenario.machine}"
    return Figure("Price of speed", Axis("speed of a user", "token/s", log=True),
                  Axis("output", "USD/Mtok", log=True), (*series, point, label),
                  subtitle=f"{name}; full batch at {contexts[0]:,.0f} tokens: "
                           f"{costs[0]:.3g} USD/Mtok")


def price_csv(found: Priced, rents: int = 1) -> str:
    """Every point of the sweep as CSV: batch, context, rent, speed, price, whether it fits.

    Args:
        found: what was priced.
        rents: rents from the low to the high end of the range, where it is one; 1: the mean.
    """
    speeds = found.speeds
    paid = np.array([found.rent.mid]) if rents == 1 else np.unique(np.linspace(
        found.rent.low, found.rent.high, rents))
    surface = price_surface(speeds, usd_per_chip_hour=paid, utilisation=found.ask.utilisation)
    lines = ["batch,context_tokens,usd_per_chip_hour,tokens_per_s_per_user,usd_per_mtok_output,"
             "usd_per_mtok_input,fits"]
    lines += list(_csv_lines(found, surface, paid))
    return "\n".join(lines) + "\n"


def _csv_lines(found: Priced, surface: Any, paid: Any) -> Iterator[str]:
    speeds = found.speeds
    for i, batch in enumerate(speeds.batches):
        for j, context in enumerate(speeds.contexts):
            fits = bool(speeds.fits[i, j])
            read = float(found.cost(speeds.prefill_rate[j])) / found.rent.mid
            for k, rent in enumerate(paid):
                cost = f"{surface[i, j, k]:.6g}" if fits else ""
                yield (f"{batch:g},{context:.0f},{rent:g},{1 / speeds.decode[i, j]:.6g},{cost},"
                       f"{read * rent:.6g},{str(fits).lower()}")
