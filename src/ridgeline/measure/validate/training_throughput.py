"""Training throughput of runs others published: rate, step time, utilisation, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row

if TYPE_CHECKING:
    from ridgeline.memory.peak import TrainingRun
    from ridgeline.training.step_time import TrainingCase

# Key of the step model -> framework of the memory model. The others publish no memory.
_MEMORY = {"megatron_deepspeed": "megatron_deepspeed", "peft": "deepspeed_peft",
           "torchtitan": "torchtitan", "deepspeed": "deepspeed_zero3"}


def predict(table: Table, advance: Advance) -> Predictions:
    """Every metric of every row, or the reason why not."""
    return each_row(table, advance, _answer)


def _answer(row: dict[str, Any]) -> dict[str, Interval]:
    from ridgeline.measure.validate.training_rows import case_of, reported_flop_per_token
    from ridgeline.training.constants import shipped, spread
    from ridgeline.training.step_time import step_time

    case = case_of(row)
    step = float(step_time(case, shipped()).step)
    low80, high80, low95, high95 = spread(bool(
        case.architecture.params_by_role.get("expert")))
    rate = case.batch.tokens / step / case.cluster.n_chips
    # The spread is of predicted over measured rates, so the measured one is the rate divided.
    ends = (1 / high80, 1 / low80, 1 / high95, 1 / low95)
    flops = rate * reported_flop_per_token(case)
    mfu = flops / case.cluster.chip.peaks["bf16"]

    def around(value: float) -> Interval:
        return Interval(value, *(value * e for e in ends))

    taken = Interval(step, *(step * e for e in (low80, high80, low95, high95)))
    again = 4.0 / 3.0 if case.layout.recompute == "full" else 1.0
    out = {"tokens_per_s_per_gpu": around(rate), "model_flops_per_gpu": around(flops),
           "mfu": around(mfu), "hfu": around(again * mfu), "step_time": taken}
    if row["memory_gib"]:
        try:
            out["memory"] = _memory(case, row)
        except BadInput:
            return out
    return out


def _memory(case: TrainingCase, row: dict[str, Any]) -> Interval:
    """Peak memory by the framework's memory model.

    Raises:
        BadInput: a framework without one.
    """
    from ridgeline.deployment import Deployment
    from ridgeline.deployment.sharding import WeightFormats
    from ridgeline.memory.peak import training_peak

    layout, framework = case.layout, _MEMORY.get(case.framework, "")
    if not framework:
        raise BadInput(f"no memory model of {case.framework or row['framework']} for {row['task']}")
    packed = 8.0 * case.packed_bytes if case.packed_bytes else 16.0
    total = training_peak(case.architecture, Deployment(tp=layout.tp, pp=layout.pp),
                          _memory_run(case, row), framework=framework,
                          formats=WeightFormats(packed, packed, 16.0)).total
    # Qwen's profile adds up the devices of a run.
    scale = float(case.cluster.n_chips) if framework == "deepspeed_peft" else 1.0
    return Interval(scale * total.value, scale * total.low, scale * total.high)


def _memory_run(case: TrainingCase, row: dict[str, Any]) -> TrainingRun:
    """What the memory model takes of a run."""
    from ridgeline.memory.peak import TrainingRun

    layout, trained = case.layout, case.trained
    if trained is not None and "(emb)" in row["task"]:
        trained += 2.0 * case.architecture.vocab_size * case.architecture.d_model
    fsdp = case.framework == "torchtitan"
    stage = 0 if trained is not None else 1 if case.framework == "megatron_deepspeed" else 3
    # Adapters on one device train with plain AdamW: no master copy.
    plain = fsdp or trained is not None
    return TrainingRun(
        layout.micro_batch, case.batch.seq // layout.cp,
        n_microbatches=max(1, case.batch.sequences // (layout.dp * layout.micro_batch)),
        zero_stage=stage, dp=layout.dp * layout.cp, sequence_parallel=fsdp, trainable=trained,
        optimizer="offload" if case.offload else "adamw_fp32" if plain else "adamw",
        weight_bytes=4.0 if fsdp else 2.0)
