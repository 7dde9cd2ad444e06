"""The money's part of the Python surface: prices, caches, demand, energy, fleets and racks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

__all__ = ["cache", "demand", "energy", "fleet", "infer_price", "price", "rack"]


def price(model: str, on: str, **fields: Any) -> Answer:
    """Cost of a million input, output and cached tokens, fast mode, context tier, margin.

    Args:
        model, on: as in `estimate`.
        **fields: `usd_per_hour=2.0, utilisation=0.4, list_price=(3, 15, 0.3), speed=1.5,
            ideal=True`, and any field of a scenario; concurrency is the batch that is priced.

    Raises:
        BadInput: an unknown name or value, or a chip without a known rent.
        Infeasible: the model does not fit (not with `ideal`).

    >>> found = price("Llama-3.1-70B", "8xH100-SXM", usd_per_hour=2.0, concurrency=64,
    ...               prompt=8191, output=1, ideal=True)
    >>> round(found.value("usd_per_mtok_output"), 2)
    0.81
    """
    from ridgeline.questions.asks import asked
    from ridgeline.questions.price import ListPrice, PriceAsk
    from ridgeline.questions.price import price as ask

    sold = fields.pop("list_price", None)
    if sold is not None and not isinstance(sold, ListPrice):
        fields["list_price"] = ListPrice(*sold)
    elif sold is not None:
        fields["list_price"] = sold
    return ask(asked(PriceAsk, model, on, fields))


def infer_price(name: str | tuple[float, ...], on: str, *, active_params: float,
                **fields: Any) -> Answer:
    """What a price list gives away: speed, utilisation, cache size, cache tier.

    Args:
        name: a priced model such as "claude-sonnet-4-5", or (input, output) in dollars a million.
        on: chip it is thought to run on.
        active_params: of the model, known or guessed.
        **fields: `usd_per_hour, compute, prefill_mfu, utilisation, margin, kv_bytes_per_token`, and
            for a typed list `long_context_threshold` and other prices of a catalog row.

    Raises:
        BadInput: an unknown chip or a value out of range.
        UnknownName: no such priced model.

    >>> found = infer_price((3.0, 15.0), "H100-SXM", active_params=100e9,
    ...                     long_context_threshold=200e3)
    >>> round(found.value("kv_bytes_per_token"))
    3386
    """
    from ridgeline.catalog.api_prices import priced_model
    from ridgeline.questions.price_infer import InferAsk, given_row
    from ridgeline.questions.price_infer import infer_price as ask

    if isinstance(name, str):
        return ask(InferAsk(priced_model(name), on, active_params, **fields))
    known = InferAsk.__dataclass_fields__
    row = given_row(*name[:2], **{k: v for k, v in fields.items() if k not in known})
    return ask(InferAsk(row, on, active_params, **{k: v for k, v in fields.items() if k in known}))


def cache(model: str, on: str, **fields: Any) -> Answer:
    """Hold, recompute and transfer cost of a prompt's cache in every tier of memory.

    Args:
        model, on: as in `estimate`.
        **fields: `usd_per_hour, holds=(300.0, 3600.0), writes=(1.25, 2.0), read_multiple=0.1,
            prefill_mfu, ideal`, and any field of a scenario; prompt is what is kept.

    Raises:
        BadInput: an unknown name or value, or a model without a cache.

    >>> found = cache("Llama-3.1-70B", "8xH100-SXM", usd_per_hour=2.0, prefill_mfu=0.6)
    >>> round(found.value("break_even_device_s") / 60, 2)
    0.97
    """
    from ridgeline.questions.asks import asked
    from ridgeline.questions.cache import CacheAsk
    from ridgeline.questions.cache import cache as ask

    return ask(asked(CacheAsk, model, on, fields))


def demand(model: str, on: str, **fields: Any) -> Answer:
    """Users to chips to dollars, ways out of overload, buy or rent, chip against chip.

    Args:
        model, on: as in `estimate`.
        **fields: `users, token_rate=30.0, active_share=0.1, usd_per_hour, peak, batch,
            decode_only, compare=("B200-SXM",), purchase_usd, ideal`, and any field of a scenario.

    Raises:
        BadInput: an unknown name or value.
        Infeasible: the model does not fit, or no batch keeps the promised rate.
    """
    from ridgeline.questions.asks import asked
    from ridgeline.questions.demand import DemandAsk
    from ridgeline.questions.demand import demand as ask

    return ask(asked(DemandAsk, model, on, fields))


def energy(model: str, on: str, **fields: Any) -> Answer:
    """Energy of a token, a request and a run, at the meter and part by part, with carbon.

    Args:
        model, on: as in `estimate`.
        **fields: `watts, pue=1.2, grams_per_kwh=400.0, usd_per_kwh, idle_share, run_tokens,
            ideal`, and any field of a scenario.

    Raises:
        BadInput: an unknown name or value, or a chip without a known power.
        Infeasible: the model does not fit (not with `ideal`).

    >>> found = energy("Llama-3.1-70B", "8xH100-SXM", concurrency=64, prompt=8191, output=1,
    ...                ideal=True)
    >>> round(found.value("joules_per_output_token"), 2)
    1.02
    """
    from ridgeline.questions.asks import asked
    from ridgeline.questions.energy import EnergyAsk
    from ridgeline.questions.energy import energy as ask

    return ask(asked(EnergyAsk, model, on, fields))


def fleet(chips: str, model: str, **fields: Any) -> Answer:
    """Forward passes per second of a fleet, tokens a day, users, dollars, to 2030.

    Args:
        chips: "100000xH100,20000xB200", or a .toml file of pools.
        model: a bundled name, a path, or sizes: "280B" or "1831B/280B".
        **fields: `prompt, output, weights, prefill_mfu, decode_mfu, batch, tpot, ideal` of the
            load; `token_rate, active_share, train_mfu, usd_per_hour, until, spending_growth, seed`.

    Raises:
        BadInput: an unreadable fleet, an unknown name or a value out of range.
        Infeasible: the model fits on no copy.

    >>> found = fleet("100000xH100-SXM", "280B", decode_mfu=0.15, prompt=1, output=1)
    >>> round(found.value("decode_passes_per_s") / 1e7, 2)
    2.65
    """
    from ridgeline.questions.asks import only
    from ridgeline.questions.fleet import FleetAsk
    from ridgeline.questions.fleet import fleet as ask
    from ridgeline.questions.fleet_pools import Load

    known = Load.__dataclass_fields__
    load = Load(**{k: v for k, v in fields.items() if k in known})
    rest = {k: v for k, v in fields.items() if k not in known}
    return ask(FleetAsk(chips, model, load, **only(FleetAsk, rest)))


def rack(name: str = "NVL72", model: str | None = None, **fields: Any) -> Answer:
    """Chips that each physical limit of a rack allows, and what the domain does with a model.

    Args:
        name: rack in the catalog.
        model: a bundled name or sizes; None: limits alone.
        **fields: `changed={"power_limit": 150e3}, chips, weights, batch, context, cable_length,
            optical_bandwidth, pool_share, pool_bandwidth, racks, ideal`.

    Raises:
        BadInput: an unknown name, field or value.
        Infeasible: the model does not fit in the rack (not with `ideal`).

    >>> found = rack()
    >>> found["binding_limit"], found.value("cables")
    ('switch ports', 5184.0)
    """
    from ridgeline.questions.asks import only
    from ridgeline.questions.rack import RackAsk
    from ridgeline.questions.rack import rack as ask

    return ask(RackAsk(name, model, **only(RackAsk, fields)))
