"""What is asked of a training run: the fields of every surface, read and checked."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number
from ridgeline.training.layout import SCHEDULES, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ridgeline.machine import Cluster
    from ridgeline.model.architecture import Architecture
    from ridgeline.training.memory import Tuning

__all__ = ["RECOMPUTE", "TrainAsk", "checked", "frozen_bits", "tuning_of"]

RECOMPUTE = ("none", "selective", "full", "reversible")
# Reference of the failure model: 419 unexpected interruptions in 54 days on 16,384 chips
# (Llama 3 report, arXiv 2407.21783).
_CHIP_MTBF = 54 * 86400.0 * 16384 / 419
_DEGREES = ("tp", "pp", "dp", "cp", "ep", "vp", "micro_batch", "zero", "recompute", "schedule")


@dataclass(frozen=True)
class TrainAsk:
    """A run to plan.

    Attributes:
        model, machine: as in every question.
        tokens: of the whole run.
        seq: tokens of a sequence.
        batch_tokens: tokens of a step.
        layout: degrees; dp 0 fills the machine.
        precision: bf16, fp16, fp8, mxfp8 or nvfp4.
        optimizer: as in `memory.training`.
        usd_per_chip_hour, pue, grams_per_kwh: prices and grid; None: the chip's mean rent.
        storage_bandwidth: writes checkpoints [B/s].
        restart: seconds to find a fault and start again [s].
        adapter_rank: train low-rank adapters of this rank on frozen weights (LoRA); None: all.
        frozen: format of frozen weights, such as nf4 (QLoRA); "": 16 bit.
        chip_mtbf: time between failures that one chip and its share of the rest cause [s].
    """

    model: str
    machine: str
    tokens: float
    seq: int = 4096
    batch_tokens: float = 4e6
    layout: Layout = field(default_factory=lambda: Layout(dp=0))
    precision: str = "bf16"
    optimizer: str = "adamw"
    usd_per_chip_hour: float | None = None
    pue: float = 1.2
    grams_per_kwh: float = 400.0
    storage_bandwidth: float = 1e11
    restart: float = 600.0
    adapter_rank: int | None = None
    frozen: str = ""
    chip_mtbf: float = _CHIP_MTBF

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> TrainAsk:
        """Read names and texts such as {"model": "Llama-3.1-8B", "tokens": "2T", "tp": 8}.

        Raises:
            BadInput: an unknown name, or a value that is no number where one is needed.
        """
        known = [f.name for f in dataclasses.fields(cls) if f.name != "layout"]
        for name in given:
            if name not in known and name not in _DEGREES:
                raise UnknownName.among("field of train", name, (*known, *_DEGREES))
        texts = ("model", "machine", "precision", "optimizer", "frozen", "recompute", "schedule")
        read: dict[str, Any] = {
            name: value if name in texts else _number(name, value)
            for name, value in given.items() if value is not None}
        degrees: dict[str, Any] = {"dp": 0} | {n: read.pop(n) for n in _DEGREES if n in read}
        return cls(layout=Layout(**degrees), **read)


def _number(name: str, value: Any) -> float | int:
    try:
        number = parse_number(value)
    except (TypeError, BadInput) as error:
        raise BadInput(f"{name} must be a number such as 8, 2T or 1e12, not {value!r}") from error
    whole = name in _DEGREES or name in ("seq", "adapter_rank")
    if whole and not float(number).is_integer():
        raise BadInput(f"{name} must be a whole number, not {value}")
    return int(number) if whole else number


def checked(ask: TrainAsk) -> tuple[Architecture, Cluster]:
    """Model and machine, once every number is known to make sense.

    Raises:
        BadInput: a number, a layout or an adapter that makes no sense.
    """
    from ridgeline.machine.parse import parse_machine
    from ridgeline.memory.training import get_optimizer
    from ridgeline.model.load import load_architecture

    positive = {"tokens": ask.tokens, "seq": ask.seq, "batch_tokens": ask.batch_tokens,
                "storage_bandwidth": ask.storage_bandwidth,
                "chip_mtbf": ask.chip_mtbf,
                "adapter_rank": 1 if ask.adapter_rank is None else ask.adapter_rank}
    least_zero = {"restart": ask.restart, "grams_per_kwh": ask.grams_per_kwh,
                  "price": ask.usd_per_chip_hour or 0.0}
    for name, value in (positive | least_zero).items():
        if not math.isfinite(value) or value < 0 or (value == 0 and name in positive):
            raise BadInput(f"{name} must be {'positive' if name in positive else 'at least 0'}, "
                           f"not {value:g}")
    if not (math.isfinite(ask.pue) and ask.pue >= 1):
        raise BadInput("pue is the power of the building over that of the chips, at least 1, "
                       f"not {ask.pue:g}")
    if ask.batch_tokens < ask.seq:
        raise BadInput(f"a batch of {ask.batch_tokens:g} tokens holds no sequence of {ask.seq}")
    layout = ask.layout
    if layout.schedule not in SCHEDULES:
        raise BadInput(f"schedule {layout.schedule!r} is not one of: {', '.join(SCHEDULES)}")
    if layout.recompute not in RECOMPUTE:
        raise BadInput(f"recompute {layout.recompute!r} is not one of: {', '.join(RECOMPUTE)}")
    if ask.frozen and ask.adapter_rank is None:
        raise BadInput(f"frozen weights in {ask.frozen} need adapters to train: give adapter_rank")
    if layout.dp < 0:
        raise BadInput(f"dp must be at least 1, or 0 to fill the machine, not {layout.dp}")
    get_optimizer(ask.optimizer)
    architecture = load_architecture(ask.model)
    if ask.adapter_rank is not None and ask.adapter_rank > architecture.d_model:
        raise BadInput(f"adapter_rank {ask.adapter_rank} is more than the model's width of "
                       f"{architecture.d_model}; low-rank adapters have 4 to 256")
    return architecture, parse_machine(ask.machine)


def frozen_bits(ask: TrainAsk) -> float:
    """Bits of a frozen weight of the layers."""
    from ridgeline.formats import get_format

    return float(get_format(ask.frozen).bits) if ask.frozen else 16.0


def tuning_of(ask: TrainAsk) -> Tuning:
    """Optimizer and adapters, as the memory of a device needs them."""
    from ridgeline.training.memory import Tuning

    return Tuning(ask.optimizer, ask.adapter_rank, frozen_bits(ask))
