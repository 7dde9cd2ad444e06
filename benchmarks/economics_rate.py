"""Prices as arrays: (batch, context, rent) points a second on one core.

Two rates: with a deployment's step tables at hand, and from a scenario's names alone. The ratio is
to asking `price` one point at a time in the same run.
"""

import time

import numpy as np

from ridgeline.economics.surface import price_surface
from ridgeline.questions.price import PriceAsk, price
from ridgeline.questions.resolve import resolve
from ridgeline.questions.token_speeds import replica_speeds
from ridgeline.scenario import Scenario

CASES = (("Llama-3.1-70B", "8xH100-SXM"), ("DeepSeek-V3", "8xB200-SXM"),
         ("Qwen3-30B-A3B", "H200-SXM"))


def sweep(model: str, machine: str, batches: int, contexts: int, rents: int) -> int:
    """Price every point; how many there were."""
    resolved = resolve(Scenario.from_fields({"model": model, "machine": machine}))
    speeds = replica_speeds(resolved, np.unique(np.round(np.geomspace(1, 1024, batches))),
                            np.geomspace(128, 131072, contexts))
    return price_surface(speeds, usd_per_chip_hour=np.linspace(1, 8, rents)).size


def main() -> None:
    for model, machine in CASES:
        start = time.perf_counter()
        cold = sweep(model, machine, 400, 250, 20)
        first = time.perf_counter() - start
        start, points = time.perf_counter(), 0
        for _ in range(3):
            points += sweep(model, machine, 400, 250, 20)
        again = time.perf_counter() - start
        ask = PriceAsk(Scenario.from_fields({"model": model, "machine": machine}), 2.0)
        start = time.perf_counter()
        price(ask)
        single = 1 / (time.perf_counter() - start)
        print(f"{model} on {machine}: {points / again:,.0f} points a second, "
              f"{cold / first:,.0f} from a cold start; {single:,.1f} answers a second one by one, "
              f"ratio {points / again / single:,.0f}")


if __name__ == "__main__":
    main()
