"""From FLOP to days, dollars, energy, carbon, and what failures leave of them."""

from __future__ import annotations

from ridgeline.numeric import Numeric, maximum, sqrt

__all__ = ["best_checkpoint_interval", "checkpoint_seconds", "goodput", "model_flop_utilisation",
           "run_cost", "run_emissions", "run_energy", "run_seconds"]


def run_seconds(*, flop: Numeric, n_chips: Numeric, peak_flops_per_s: Numeric,
                mfu: Numeric, goodput_share: Numeric = 1.0) -> Numeric:
    """Time of a training run.

        t = flop / (n * C * mfu * goodput)

    Args:
        flop: of the model, recomputation not counted [FLOP].
        n_chips: n [1].
        peak_flops_per_s: C of one chip [FLOP/s].
        mfu: share of the peak reached while it runs [1].
        goodput_share: share of the time that makes progress [1].

    Returns:
        seconds.

    Sources: own derivation.
    >>> round(run_seconds(flop=8.4e23, n_chips=1024, peak_flops_per_s=989.4e12, mfu=0.4) / 86400, 2)
    23.99
    """
    return flop / (n_chips * peak_flops_per_s * mfu * goodput_share)


def run_cost(*, run_time: Numeric, n_chips: Numeric, usd_per_chip_hour: Numeric) -> Numeric:
    """Rent of a run.

        usd = n * t / 3600 * price

    Args:
        run_time: t [s].
        n_chips: n [1].
        usd_per_chip_hour: price [USD].

    Returns:
        USD.

    Sources: own derivation.
    >>> round(run_cost(run_time=23.99 * 86400, n_chips=1024, usd_per_chip_hour=2.0) / 1e6, 2)
    1.18
    """
    return n_chips * run_time / 3600.0 * usd_per_chip_hour


def run_energy(*, run_time: Numeric, n_chips: Numeric, chip_watts: Numeric,
               pue: Numeric = 1.2) -> Numeric:
    """Energy of a run at the meter of the data centre.

        E = n * P * pue * t

    Args:
        run_time: t [s].
        n_chips: n [1].
        chip_watts: P of one chip [W].
        pue: power of the building over power of the chips [1].

    Returns:
        joules [J].

    Sources: own derivation.
    >>> round(run_energy(run_time=23.99 * 86400, n_chips=1024, chip_watts=700.0) / 3.6e9)
    495
    """
    return n_chips * chip_watts * pue * run_time


def run_emissions(*, energy: Numeric, grams_per_kwh: Numeric) -> Numeric:
    """Carbon dioxide of an amount of electricity.

        kg = E / 3.6e6 * g / 1000

    Args:
        energy: E [J].
        grams_per_kwh: carbon intensity of the grid [g/kWh].

    Returns:
        kilograms [kg].

    Sources: own derivation.
    >>> round(run_emissions(energy=495 * 3.6e9, grams_per_kwh=400.0) / 1e3)
    198
    """
    return energy / 3.6e6 * grams_per_kwh / 1000.0


def model_flop_utilisation(*, token_rate: Numeric, flop_per_token: Numeric, n_chips: Numeric,
                           peak_flops_per_s: Numeric) -> Numeric:
    """Model FLOP utilisation: FLOP the model needs over FLOP the chips could do.

        mfu = rate * flop_per_token / (n * C)

    Args:
        token_rate: tokens per second of the whole machine [token/s].
        flop_per_token: 6 N and attention to train, 2 N to serve; 8 N gives HFU [FLOP/token].
        n_chips: n [1].
        peak_flops_per_s: C of one chip [FLOP/s].

    Returns:
        share [1]; above 1 is impossible.

    Sources: PaLM, arXiv 2204.02311, appendix B.
    >>> round(model_flop_utilisation(token_rate=3200.0, flop_per_token=2 * 70.55e9, n_chips=8,
    ...                              peak_flops_per_s=989.4e12), 3)
    0.057
    """
    return token_rate * flop_per_token / (n_chips * peak_flops_per_s)


def checkpoint_seconds(*, state_bytes: Numeric, storage_bandwidth: Numeric) -> Numeric:
    """Time to write a checkpoint while training waits.

        t = bytes / W

    Args:
        state_bytes: weights and optimizer state of the whole model [bytes].
        storage_bandwidth: W, of the storage as a whole [B/s].

    Returns:
        seconds.

    Sources: own derivation.
    >>> checkpoint_seconds(state_bytes=5.68e12, storage_bandwidth=2e12)
    2.84
    """
    return state_bytes / storage_bandwidth


def best_checkpoint_interval(*, checkpoint_time: Numeric, mtbf: Numeric) -> Numeric:
    """Time between checkpoints that loses the least.

        t = sqrt(2 * t_write * MTBF)

    Args:
        checkpoint_time: t_write [s].
        mtbf: mean time between failures of the whole machine [s].

    Returns:
        seconds.

    Valid for: a write much shorter than the time between failures.
    Sources: Young 1974, A first order approximation to the optimum checkpoint interval.
    >>> round(best_checkpoint_interval(checkpoint_time=60.0, mtbf=11134.0))
    1156
    """
    return sqrt(2.0 * checkpoint_time * mtbf)


def goodput(*, checkpoint_time: Numeric, checkpoint_interval: Numeric, restart_time: Numeric,
            chip_mtbf: Numeric, n_chips: Numeric) -> Numeric:
    """Share of the time that makes progress, with failures and checkpoints.

        goodput = max(1 - t_write / (T + t_write) - (T / 2 + t_restart) * n / MTBF_chip, 0)

    Args:
        checkpoint_time: t_write, while training waits [s].
        checkpoint_interval: T between checkpoints [s].
        restart_time: t_restart, to find the fault and start again [s].
        chip_mtbf: mean time between failures that a chip and its share of the rest cause [s].
        n_chips: n [1].

    Returns:
        share [1].

    Valid for: failures much rarer than checkpoints; on average half an interval is lost.
    Sources: Young 1974; Llama 3 report, arXiv 2407.21783, section 3.3.4 (419 unexpected
        interruptions in 54 days on 16,384 chips: one in 50,700 chip-hours).
    >>> round(goodput(checkpoint_time=30.0, checkpoint_interval=820.0, restart_time=600.0,
    ...               chip_mtbf=50_700 * 3600.0, n_chips=16384), 2)
    0.87
    """
    return maximum(1.0 - checkpoint_time / (checkpoint_interval + checkpoint_time)
                   - (checkpoint_interval / 2.0 + restart_time) * n_chips / chip_mtbf, 0.0)
