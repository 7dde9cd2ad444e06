"""The words and tables of a plan: what won and why, what lost and why."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Cell, Table
from ridgeline.questions.plan_finalists import Settled
from ridgeline.search.findings import Findings, Rejection
from ridgeline.search.row import Pool, Row

__all__ = ["headline", "layout", "rejected_rows", "row_dict", "tables", "why"]

_SHOWN = 10


def layout(row: Row) -> str:
    """A row's layout in one phrase: "4 replicas of tp=8 on 32xH100-SXM, vllm, batch 80"."""
    main = _pool(row.main)
    if row.prefill is None:
        return f"{main}, {row.main.deployment.engine}, batch {row.batch}"
    return (f"{_pool(row.prefill)} for prompts and {main} for decoding, "
            f"{row.main.deployment.engine}, batch {row.batch}")


def _pool(pool: Pool) -> str:
    plan = pool.deployment
    many = f"{pool.workers} replicas of " if pool.workers > 1 else ""
    degrees = " ".join(f"{name}={getattr(plan, name)}"
                       for name in ("tp", "pp", "ep", "cp", "attention_dp")
                       if name == "tp" or getattr(plan, name) > 1)
    formats = "".join(f" {name} {value}" for name, value in (
        ("weights", plan.weights), ("kv", plan.kv)) if value)
    chunk = f" chunk {plan.max_num_batched_tokens:,}" if plan.max_num_batched_tokens else ""
    return f"{many}{degrees}{formats}{chunk} on {pool.machine}"


def headline(row: Row, minimize: str) -> str:
    """What won, in a sentence."""
    what = {"cost": f"${row.usd_per_mtok:.3g} a million tokens, ${row.usd_per_hour:,.2f}/h",
            "latency": f"{format_si(row.e2e, 's')} a request",
            "energy": f"{row.joules_per_token:.3g} J an output token",
            "chips": f"{row.chips} chips"}[minimize]
    bound = f"decode is bound by {row.exact.bound_decode}, prefill by {row.exact.bound_prefill}"
    return f"{layout(row)}: {what}; {bound}"


def why(settled: Settled, minimize: str, goal: Any) -> list[str]:
    """Sentences on why the winner won, and why the fastest and the fullest rows differ."""
    best, said = settled.best, list[str]()
    if best is None:
        return said
    if settled.runner_ups:
        said.append(_against(best, settled.runner_ups[0], minimize))
    if goal.ttft < math.inf or goal.tpot < math.inf:
        said.append(f"Chance that the real means are within the targets: TTFT "
                    f"{best.chance_ttft:.0%}, TPOT {best.chance_tpot:.0%} (errors of measured "
                    f"deployments like this one).")
    said += _two_optima(settled.frontier)
    return said


def _against(best: Row, other: Row, minimize: str) -> str:
    gain = other.objective / best.objective
    what = {"cost": "costs", "latency": "takes", "energy": "uses", "chips": "needs"}[minimize]
    more = f"{(gain - 1) * 100:.1f} % more" if gain > 1.0005 else "as much"
    return (f"The next best layout, {layout(other)}, {what} {more} "
            f"(TPOT {format_si(other.tpot, 's')}, {other.tokens_per_s_per_chip:,.0f} tokens/s a "
            f"chip).")


def _two_optima(frontier: tuple[Row, ...]) -> list[str]:
    """Why the fastest row for a user is not the one that makes most of a chip."""
    if len(frontier) < 2:
        return []
    fast = max(frontier, key=lambda r: 1 / r.tpot)
    full = max(frontier, key=lambda r: r.tokens_per_s_per_chip)
    if fast is full:
        return []
    gain = full.tokens_per_s_per_chip / fast.tokens_per_s_per_chip
    said = [f"Latency and throughput want different things: {layout(fast)} gives a user "
            f"{1 / fast.tpot:,.0f} tokens/s because so few sequences leave a step to read the "
            f"weights and pass its messages alone; {layout(full)} makes {gain:,.1f} times as many "
            f"tokens a chip because {full.batch} sequences share each reading of the weights, "
            f"and a step takes {full.tpot / fast.tpot:,.1f} times as long."]
    return said + _spread_of(fast, full)


def _spread_of(fast: Row, full: Row) -> list[str]:
    a, b = fast.main.deployment, full.main.deployment
    if a.tp > b.tp:
        return [f"tp={a.tp} splits every weight over {a.tp} chips that read at once, so one "
                f"sequence is served soonest; tp={b.tp} sends fewer messages a token and leaves "
                "chips for more replicas. Pipeline stages read in turn: they add capacity, and do "
                "not shorten a token."]
    if a.pp < b.pp:
        return [f"pp={b.pp} stages work on different sequences at once: more tokens a chip, but "
                "each token still passes them in turn."]
    return []


def tables(found: Findings, settled: Settled) -> tuple[Table, ...]:
    """Frontier, runner-ups and what was turned down."""
    made = [_rows("frontier", settled.frontier,
                  "Frontier: no row is better in speed, throughput and price at once")]
    if settled.runner_ups:
        made.append(_rows("runner_ups", settled.runner_ups, "Runner-ups of other layouts"))
    rejected = rejected_rows(found)
    if rejected:
        rows: list[list[Cell]] = [[r.family, r.count, r.example] for r in rejected[:_SHOWN]]
        more = len(rejected) - _SHOWN
        made.append(Table.of("rejected", {"family": "1", "rows": "1", "why": "1"}, rows,
                             title="Turned down" + (f" ({more} more in --json)"
                                                    if more > 0 else "")))
    return tuple(made)


def _rows(name: str, rows: tuple[Row, ...], title: str) -> Table:
    """At most _SHOWN of the rows, the ends included; JSON has all."""
    if len(rows) > _SHOWN:
        title += f" ({_SHOWN} of {len(rows)}; all in --json)"
        rows = tuple(rows[round(i * (len(rows) - 1) / (_SHOWN - 1))] for i in range(_SHOWN))
    cells: list[list[Cell]] = [
        [_brief(r), r.batch, r.ttft, r.tpot, r.tokens_per_s_per_chip,
         None if math.isnan(r.usd_per_mtok) else r.usd_per_mtok] for r in rows]
    return Table.of(name, {"replicas": "1", "batch": "1", "TTFT": "s", "TPOT": "s",
                           "a chip": "token/s", "price": "USD/Mtok"}, cells, title=title)


def _brief(row: Row) -> str:
    main = _brief_pool(row.main)
    return main if row.prefill is None else f"{_brief_pool(row.prefill)} prefill + {main} decode"


def _brief_pool(pool: Pool) -> str:
    plan = pool.deployment
    parts = [f"{pool.workers}x {pool.shape.chips}x{pool.shape.offer.chip.name}",
             *(f"{name}={getattr(plan, name)}" for name in ("tp", "pp", "ep", "cp", "attention_dp")
               if getattr(plan, name) > 1), plan.weights or "",
             f"kv {plan.kv}" if plan.kv else "",
             f"chunk {plan.max_num_batched_tokens}" if plan.max_num_batched_tokens else ""]
    return " ".join(part for part in parts if part)


# Of several reasons the one that tells most: a missed target before too few chips, that before a
# full cache (which only ends the batches), then weights that do not fit, and rules last.
_TELLING = {"ttft": 0, "tpot": 0, "budget": 0, "load": 0, "chips": 1, "kv": 2, "memory": 3,
            "rule": 4}


def rejected_rows(found: Findings) -> list[Rejection]:
    """One line for each family none of whose rows will do, nearest first."""
    nearest: dict[str, Rejection] = {}
    counts: dict[str, int] = {}
    for (family, _), one in found.rejected.items():
        if family in found.good_families:
            continue
        counts[family] = counts.get(family, 0) + one.count
        if family not in nearest or _telling(one) < _telling(nearest[family]):
            nearest[family] = one
    return sorted((dataclasses.replace(one, count=counts[family])
                   for family, one in nearest.items()), key=lambda r: (*_telling(r), r.family))


def _telling(one: Rejection) -> tuple[int, float]:
    return _TELLING[one.reason], one.miss


def row_dict(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    plan, formats = row.main.deployment, row.main.shape.formats
    out = {
        "chip": row.main.shape.offer.chip.name, "chips": row.chips, "tp": plan.tp, "pp": plan.pp,
        "ep": plan.ep, "dp": plan.dp, "cp": plan.cp, "attention_dp": plan.attention_dp,
        "weights": formats.dense.name, "experts": formats.experts.name, "kv": formats.kv.name,
        "batch": row.batch, "concurrency": row.batch * plan.dp,
        "max_num_batched_tokens": plan.max_num_batched_tokens, "engine": plan.engine,
        "mode": row.mode, "machine": row.main.machine, "ttft_s": row.ttft, "tpot_s": row.tpot,
        "e2e_s": row.e2e, "ttft_low_s": _end(row.ttft, row.exact.ttft_spread[1]),
        "ttft_high_s": _end(row.ttft, row.exact.ttft_spread[2]),
        "tpot_low_s": max(row.exact.tpot_floor, _end(row.tpot, row.exact.tpot_spread[1])),
        "tpot_high_s": _end(row.tpot, row.exact.tpot_spread[2]),
        "ttft_floor_s": row.exact.ttft_floor, "tpot_floor_s": row.exact.tpot_floor,
        "chance": row.chance, "chance_ttft": row.chance_ttft, "chance_tpot": row.chance_tpot,
        "meets_targets": row.verdict == "meets",
        "output_tokens_per_s": row.tokens_per_s,
        "output_tokens_per_s_per_user": 1 / row.tpot if row.tpot else None,
        "output_tokens_per_s_per_chip": row.tokens_per_s_per_chip,
        "usd_per_hour": row.usd_per_hour, "usd_per_mtok": row.usd_per_mtok,
        "usd_per_mtok_input": row.usd_per_mtok_input,
        "usd_per_mtok_cached": row.usd_per_mtok_cached,
        "usd_per_mtok_output": row.usd_per_mtok_output,
        "joules_per_output_token": row.joules_per_token, "utilisation": row.utilisation,
        "bound_decode": row.exact.bound_decode, "bound_prefill": row.exact.bound_prefill,
        "weights_bytes_per_chip": row.memory_bytes, "usable_bytes_per_chip": row.usable_bytes,
        "kv_sequences": row.kv_room, "prefill": None, "kv_transfer_s": row.transfer,
    }
    if row.prefill is not None:
        first = row.prefill.deployment
        out["prefill"] = {
            "chip": row.prefill.shape.offer.chip.name, "machine": row.prefill.machine,
            "workers": row.prefill.workers, "tp": first.tp, "pp": first.pp, "ep": first.ep,
            "dp": first.dp, "attention_dp": first.attention_dp}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in out.items()}


def _end(value: float, log: float) -> float:
    return value * math.exp(log)


def around(value: float, row_spread: Any, floor: float, unit: str = "s") -> Quantity:
    """A time with its 80 % interval, never below its floor."""
    return Quantity(value, max(_end(value, row_spread[1]), min(floor, value)),
                    max(_end(value, row_spread[2]), value), unit, "calibrated")
