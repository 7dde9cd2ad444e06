"""What one micro-batch asks of a rank: seconds at the roofs, by what kind of work it is.

The forward ops are those of serving (`work.step`), at training's shapes: every token needs
logits, nothing is cached. Each op's floor max(FLOP / peak, bytes / bandwidth) is summed by kind, so
a step time with efficiencies at most 1 and overheads at least 0 can never be below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.machine import Chip, Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import Numeric, maximum, minimum
from ridgeline.timing.roofline import wire_bytes
from ridgeline.work.op import Op
from ridgeline.work.step import Step, step_ops

__all__ = ["KINDS", "PRECISIONS", "Work", "flop_per_token", "link_seconds", "microbatch_work",
           "precision_formats"]

# Matrix work by the peak it runs at; everything else by what bounds it.
KINDS = ("matmul_bf16", "matmul_fp8", "matmul_fp4", "grouped_bf16", "grouped_fp8", "grouped_fp4",
         "attention", "scan", "scores", "elementwise", "quantise", "quantise_fp4", "ops",
         "tp", "tp_count", "ep", "ep_count", "cp", "head", "head_elementwise", "misaligned")
# Training recipe -> format of the layers' matrices. Head, router and attention stay in 16 bit.
PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4"}
# Unfused attention reads and writes each score so many bytes in a forward pass: scores out, scaled
# and masked softmax in and out, dropout in, out and its mask, product in (16 bit).
SCORE_BYTES = 13.0
# Matrices whose sides are no multiple of this run on partly filled tiles.
_ALIGNED = 64


@dataclass(frozen=True)
class Work:
    """Seconds at the roofs (or counts) of one micro-batch's forward pass through all layers.

    Attributes:
        sums: by kind, see `KINDS`; `head` kinds are of the output layer and the loss.
        flop: matrix and attention FLOP of the layers; head_flop: of the output layer.
    """

    sums: Mapping[str, Numeric]
    flop: Numeric
    head_flop: Numeric


def precision_formats(precision: str, chip: Chip) -> Formats:
    """Formats of a training recipe on a chip.

    Raises:
        UnknownName: no such recipe.
        BadInput: the chip has no such matrix rate.
    """
    from ridgeline.errors import BadInput, UnknownName

    if precision not in PRECISIONS:
        raise UnknownName.among("training precision", precision, PRECISIONS,
                                "There are: " + ", ".join(PRECISIONS))
    wide = "bf16" if "bf16" in chip.peaks else "fp16" if "fp16" in chip.peaks else "fp32"
    narrow, size = {"fp8": ("fp8", 1.0), "mxfp8": ("fp8", 1.0), "nvfp4": ("fp4", 0.5625)}.get(
        precision, (wide, 2.0))
    if narrow not in chip.peaks:
        raise BadInput(f"{chip.name} has no {narrow} matrix rate for {precision} training; it "
                       "has: " + ", ".join(chip.peaks))
    plain = Format(wide, 2.0, wide)
    layer = Format(precision, size, narrow)
    return Formats(dense=layer, experts=layer, head=plain, wide=plain, kv=plain, state=plain,
                   attention_compute=wide)


def microbatch_work(architecture: Architecture, *, tp: int, cp: int, ep: int,
                    micro_batch: Numeric, seq: int, formats: Formats, cluster: Cluster,
                    sequence_parallel: bool = True, flash: bool = True) -> Work:
    """The forward pass of one micro-batch on one rank of a replica, all layers.

    Args:
        architecture: the model.
        tp, cp, ep: degrees; experts are spread over ep ranks, tp of which share tokens.
        micro_batch: sequences, a number or an array.
        seq: tokens of each.
        formats: of `precision_formats`.
        cluster: chip and links.
        sequence_parallel: norms and residuals split over tp.
        flash: attention keeps no scores; otherwise they pass through memory and nothing of the
            causal triangle is saved.
    """
    group = max(1, ep // tp)
    # Not a server's: trainers send tokens to their experts all to all.
    deployment = Deployment(engine="transformers", tp=tp, attention_dp=group,
                            ep=min(ep, tp * group))
    sequences = micro_batch * group
    tokens = seq / cp
    step = Step(prefill_tokens=tokens * sequences, prefill_sequences=sequences,
                prefill_past=(seq - tokens) / 2.0, finished_prompts=tokens * sequences)
    sums: dict[str, Numeric] = dict.fromkeys(KINDS, 0.0)
    flop: Numeric = 0.0
    head_flop: Numeric = 0.0
    for op in step_ops(architecture, deployment, formats, step):
        if "decode" in op.name or op.name.startswith("absorb") or op.name == "gather_logits":
            continue
        _add(sums, op, cluster, tp=tp, cp=cp, seq=seq, sequence_parallel=sequence_parallel,
             flash=flash)
        if op.part == "head":
            head_flop = head_flop + (op.flop if op.kind == "matmul" else 0.0)
        elif op.kind in ("matmul", "grouped_matmul", "attention", "scan"):
            flop = flop + op.repeats * op.flop
    if cp > 1:
        sums["cp"] = _ring(architecture, tokens * micro_batch, tp, cp, cluster)
    return Work(sums, flop, head_flop)


def _add(sums: dict[str, Numeric], op: Op, cluster: Cluster, *, tp: int, cp: int, seq: int,
         sequence_parallel: bool, flash: bool) -> None:
    """Add one op to the sum of its kind."""
    chip, n = cluster.chip, op.repeats
    moved = op.memory_bytes / chip.memory_bandwidth
    if op.kind == "collective":
        _add_collective(sums, op, cluster, tp, cp)
        return
    sums["ops"] = sums["ops"] + n
    if op.kind in ("matmul", "grouped_matmul"):
        floor = n * maximum(op.flop / chip.peak(op.compute), moved)
        kind = "head" if op.part == "head" else _matrix_kind(op)
        sums[kind] = sums[kind] + floor
        if kind.endswith(("fp8", "fp4")):
            cast = "quantise_fp4" if kind.endswith("fp4") else "quantise"
            sums[cast] = sums[cast] + n * op.activation_bytes / chip.memory_bandwidth
        if op.kind == "matmul" and any(float(op.shape[d]) % _ALIGNED for d in ("k", "n")):
            sums["misaligned"] = sums["misaligned"] + floor
    elif op.kind == "attention":
        whole = 1.0 if flash else 2.0
        sums["attention"] = sums["attention"] + n * maximum(
            whole * op.flop / chip.peak(op.compute), moved)
        if not flash:
            scores = op.shape["batch"] * op.shape["q_heads"] * seq * seq / cp * SCORE_BYTES
            sums["scores"] = sums["scores"] + n * scores / chip.memory_bandwidth
    elif op.kind == "scan":
        sums["scan"] = sums["scan"] + n * maximum(op.flop / chip.peak(op.compute), moved)
    elif op.name == "sampling":
        # Vocabulary-parallel cross-entropy: logits read and written in 16 and 32 bit, over tp.
        sums["head_elementwise"] = sums["head_elementwise"] + moved / tp
    else:
        split = tp if sequence_parallel and op.part == "norm" else 1
        sums["elementwise"] = sums["elementwise"] + n * moved / split


def _matrix_kind(op: Op) -> str:
    width = {"fp8": "fp8", "fp4": "fp4"}.get(op.compute, "bf16")
    return ("grouped_" if op.kind == "grouped_matmul" else "matmul_") + width


def _add_collective(sums: dict[str, Numeric], op: Op, cluster: Cluster, tp: int, cp: int) -> None:
    kind = "ep" if op.labels["collective"] == "all_to_all" else "tp"
    group = float(op.shape["group"])
    spread = tp if kind == "tp" else group * (cp if kind == "ep" else 1)
    seconds = op.repeats * link_seconds(cluster, op.labels["collective"], op.message_bytes,
                                        group, spread)
    sums[kind] = sums[kind] + seconds
    sums[kind + "_count"] = sums[kind + "_count"] + op.repeats


def link_seconds(cluster: Cluster, collective: str, message_bytes: Numeric, group: Numeric,
                 spread: Numeric) -> Numeric:
    """Time of a collective at full link speed, in two levels when it leaves its domain.

        t = max(bytes inside / W_up, bytes leaving / (ranks inside * W_out))

    Args:
        cluster: links and domain.
        collective: as in `timing.roofline.wire_bytes`.
        message_bytes: buffer of each device [bytes].
        group: ranks of the collective [1].
        spread: neighbouring chips among which the ranks lie [1].
    """
    domain = float(cluster.domain_size)
    up = cluster.scale_up.bandwidth if cluster.scale_up else 1e30
    out = cluster.scale_out.bandwidth if cluster.scale_out else up
    inside = maximum(minimum(group, group * domain / spread), 1.0)
    domains = maximum(group / inside, 1.0)
    near = wire_bytes(collective=collective, message_bytes=message_bytes, group=inside)
    if collective == "all_to_all":
        # Every rank sends its own share out of the domain through its own port.
        far = message_bytes * (1.0 - 1.0 / domains)
        return maximum(near / up, far / out)
    far = wire_bytes(collective=collective, message_bytes=message_bytes, group=domains)
    if collective == "send_recv":
        return far / out * (domains > 1) + near / up * (domains <= 1)
    return maximum(near / up, far / (inside * out))


def _ring(architecture: Architecture, tokens: Numeric, tp: int, cp: int, cluster: Cluster
          ) -> Numeric:
    """Keys and values passed around a context-parallel ring, all layers."""
    held = architecture.kv_bytes_per_token() * tokens / tp
    return link_seconds(cluster, "all_gather", held * cp, float(cp), float(cp * tp))


@cache
def flop_per_token(architecture: Architecture, seq: int, *, causal: bool = True) -> float:
    """Model FLOP of training one token: three times the forward pass, nothing recomputed.

        flop = 6 N_active + 12 L d_attention s (half of it when causal)

    The embedding look-up costs nothing; the head counts.
    """
    chip = Chip("unit", "", "", {"bf16": 1.0}, 1.0, 1.0)
    work = microbatch_work(architecture, tp=1, cp=1, ep=1, micro_batch=1.0, seq=seq,
                           formats=precision_formats("bf16", chip), cluster=Cluster.of(chip),
                           flash=causal)
    extra = 0.0 if causal else float(_attention_flop(architecture, seq))
    return 3.0 * (float(work.flop) + extra + float(work.head_flop)) / seq


def _attention_flop(architecture: Architecture, seq: int) -> float:
    """Attention FLOP of one causal sequence."""
    chip = Chip("unit", "", "", {"bf16": 1.0}, 1.0, 1e30)
    formats = precision_formats("bf16", chip)
    step = Step(prefill_tokens=float(seq), prefill_sequences=1.0)
    return float(sum(op.repeats * op.flop for op in step_ops(architecture, Deployment(), formats,
                                                             step) if op.kind == "attention"))
