"""One forward pass as a list of ops on the busiest device of a replica.

There is no prefill phase and no decode phase: a step takes some new prompt tokens and some
sequences that each make one token, and every linear layer sees them together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Block
from ridgeline.numeric import Numeric, ceil_div, where
from ridgeline.work.feed_forward import feed_forward_ops
from ridgeline.work.mixers import mixer_ops
from ridgeline.work.op import Follows, Op
from ridgeline.work.rank import Rank

__all__ = ["Step", "decode_step", "part_ops", "prefill_step", "rank_of", "step_ops"]


@dataclass(frozen=True)
class Step:
    """The tokens of one forward pass of one replica; every field may be an array.

    Attributes:
        prefill_tokens: new prompt tokens in the step, all prompts together.
        prefill_sequences: prompts they belong to.
        prefill_past: tokens of each such prompt already cached (chunked prefill, prefix hits).
        decode_sequences: sequences that make one token each.
        decode_context: tokens each of them attends to, the new one included.
        finished_prompts: prompts whose last token is in this step, so that logits are needed;
            None: all of `prefill_sequences`.
    """

    prefill_tokens: Numeric = 0.0
    prefill_sequences: Numeric = 0.0
    prefill_past: Numeric = 0.0
    decode_sequences: Numeric = 0.0
    decode_context: Numeric = 1.0
    finished_prompts: Numeric | None = None


def prefill_step(*, tokens: Numeric, sequences: Numeric = 1.0, past: Numeric = 0.0) -> Step:
    """A step that computes `sequences` prompts of `tokens` new tokens each."""
    return Step(prefill_tokens=tokens * sequences, prefill_sequences=sequences, prefill_past=past)


def decode_step(*, sequences: Numeric, context: Numeric) -> Step:
    """A step in which `sequences` sequences of mean length `context` make one token each."""
    return Step(decode_sequences=sequences, decode_context=context)


def rank_of(deployment: Deployment, formats: Formats, step: Step) -> Rank:
    """The busiest device's share of a step.

    Sequences go whole to one attention data-parallel copy, so a copy has the rounded-up share;
    context parallelism splits every prompt evenly.
    """
    copies = deployment.attention_dp
    prompts = ceil_div(step.prefill_sequences, copies)
    # Guard against 0/0 when a step has no prompts.
    some = where(step.prefill_sequences > 0, step.prefill_sequences, 1.0)
    per_prompt = step.prefill_tokens / some
    decoding = ceil_div(step.decode_sequences, copies)
    prompt_tokens = per_prompt / deployment.cp
    finished = step.prefill_sequences if step.finished_prompts is None else step.finished_prompts
    return Rank(
        deployment=deployment,
        formats=formats,
        prompts=prompts,
        prompt_tokens=prompt_tokens,
        prompt_past=step.prefill_past,
        decoding=decoding,
        context=step.decode_context,
        tokens=prompts * prompt_tokens + decoding,
        all_tokens=step.prefill_tokens / deployment.cp + step.decode_sequences,
        logits=ceil_div(finished, copies) + decoding,
    )


def step_ops(architecture: Architecture, deployment: Deployment, formats: Formats,
             step: Step) -> tuple[Op, ...]:
    """Every op of one forward pass, in order of the model, equal layers merged by `repeats`.

    With pipeline parallelism the list spans all stages: its total time is the latency of one
    micro-batch through the whole pipe.
    """
    return _ops(architecture, rank_of(deployment, formats, step))


def part_ops(architecture: Architecture, deployment: Deployment, formats: Formats,
             steps: Mapping[Follows, Step]) -> tuple[Op, ...]:
    """Ops of four steps in one list: those that follow a part are the ones of that part's step.

    Args:
        steps: the step that each part is asked for; their fields need not broadcast together.
    """
    ranks = {part: rank_of(deployment, formats, step) for part, step in steps.items()}
    prompts, decoding = ranks["prefill"], ranks["decode"]
    return _ops(architecture, dataclasses.replace(
        ranks["tokens"], prompts=prompts.prompts, prompt_tokens=prompts.prompt_tokens,
        prompt_past=prompts.prompt_past, decoding=decoding.decoding, context=decoding.context,
        logits=ranks["logits"].logits))


def _ops(architecture: Architecture, rank: Rank) -> tuple[Op, ...]:
    deployment = rank.deployment
    ops = [_embedding(architecture, rank)]
    for block, count in architecture.kinds_of_layer:
        ops += _block_ops(block, count, architecture.d_model, rank)
    if deployment.pp > 1:
        ops.append(rank.collective("pipeline_hop", "send_recv", 2,
                                   rank.tokens * architecture.d_model * rank.activation,
                                   deployment.pp - 1.0, spans=deployment.chips_per_replica))
    return (*ops, *_head_ops(architecture, rank))


def _block_ops(block: Block, count: int, d_model: int, rank: Rank) -> list[Op]:
    ops: list[Op] = []
    n_norms = max(1, sum(1 for w in block.norms if w.role == "norm"))
    width = rank.tokens * d_model * rank.activation
    # Each norm is fused with the residual addition before it: two reads, two writes.
    ops.append(Op("norm", "elementwise", "norm", repeats=float(n_norms * count),
                  flop=5 * rank.tokens * d_model, activation_bytes=4 * width,
                  shape={"rows": rank.tokens, "width": float(d_model)}))
    if block.mixer is not None:
        ops += mixer_ops(block.mixer, d_model, float(count), rank)
    if block.ffn is not None:
        ops += feed_forward_ops(block.ffn, d_model, float(count), rank)
    return ops


def _embedding(architecture: Architecture, rank: Rank) -> Op:
    width = rank.tokens * architecture.d_model * rank.activation
    return Op("embedding", "gather", "embedding", activation_bytes=2 * width,
              shape={"rows": rank.tokens, "width": float(architecture.d_model)})


def _head_ops(architecture: Architecture, rank: Rank) -> list[Op]:
    """Output head and sampling; an encoder has neither."""
    if not architecture.causal or not (architecture.head or architecture.tied):
        return []
    vocab = architecture.vocab_size / rank.deployment.tp
    ops = [rank.matmul("lm_head", "head", rank.logits, architecture.d_model, vocab, 1.0,
                       rank.formats.head, "logits")]
    if rank.deployment.tp > 1:
        ops.append(rank.collective("gather_logits", "all_gather", rank.deployment.tp,
                                   rank.logits * architecture.vocab_size * rank.activation, 1.0,
                                   follows="logits"))
    ops.append(Op("sampling", "elementwise", "head", flop=5 * rank.logits * architecture.vocab_size,
                  activation_bytes=3 * rank.logits * architecture.vocab_size * 4, follows="logits",
                  shape={"rows": rank.logits, "width": float(architecture.vocab_size)}))
    return ops
