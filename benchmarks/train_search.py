"""Time the search over every layout of a 512-chip run, whole process and the ranking alone.

calculon is another package and is not run here; its brute force over such a space is reported
not to finish in 400 s (a quoted figure, not measured by this script).
"""

from __future__ import annotations

import time

from ridgeline.machine.parse import parse_machine
from ridgeline.model.load import load_architecture
from ridgeline.questions.train import TrainAsk, best_layout
from ridgeline.training.constants import shipped
from ridgeline.training.layout import Batch
from ridgeline.training.search import ranked

BUDGET = 2.0


def main() -> None:
    for name in ("Llama-3.1-70B", "Llama-3.1-405B", "DeepSeek-V3"):
        model, cluster = load_architecture(name), parse_machine("512xH100-SXM")
        start = time.perf_counter()
        found = ranked(model, Batch(2048, 4096), cluster, "bf16", shipped())
        ranking = time.perf_counter() - start
        start = time.perf_counter()
        best = best_layout(TrainAsk(name, "512xH100-SXM", 1e12, 4096, 2048 * 4096.0))
        whole = time.perf_counter() - start
        print(f"{name}: {len(found)} valid layouts ranked in {ranking:.2f} s; best that fits in "
              f"{whole:.2f} s (budget {BUDGET} s): {best.layout}")


if __name__ == "__main__":
    main()
