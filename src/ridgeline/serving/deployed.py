"""A model deployed on a machine, ready to be asked how long its steps take."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats
from ridgeline.machine import Cluster
from ridgeline.memory.inference import Footprint, footprint
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention
from ridgeline.numeric import maximum, where
from ridgeline.serving.closed_loop import Policy
from ridgeline.timing.engine import (
    CAPTURES_PROMPTS,
    PROMPTS_FIRST,
    RESERVED,
    EngineCosts,
    engine_costs,
)
from ridgeline.timing.measured import costs_of
from ridgeline.timing.step_table import (
    Grid,
    StepTable,
    TableWork,
    Timer,
    table_work,
    with_unit_costs,
)
from ridgeline.timing.step_time import StepTimer, seconds_together
from ridgeline.work.op import Follows, Op
from ridgeline.work.step import Step, part_ops, step_ops

__all__ = ["Deployed", "tables_together"]


@dataclass(frozen=True)
class Deployed:
    """One replica of a deployment.

    Attributes:
        architecture, deployment, cluster, formats: what runs where and how.
        max_context: longest sequence asked for [tokens].
    """

    architecture: Architecture
    deployment: Deployment
    cluster: Cluster
    formats: Formats
    max_context: int

    @functools.cached_property
    def footprint(self) -> Footprint:
        """Memory of the device that binds."""
        return footprint(self.architecture, self.deployment, self.cluster.chip,
                         max_model_len=self.architecture.max_context or self.max_context)

    @functools.cached_property
    def costs(self) -> EngineCosts:
        """The engine's own costs."""
        measured = self.cluster.chip.kernels.get(self.deployment.engine)
        return (costs_of(measured, served=True) if measured
                else engine_costs(self.deployment.engine, self.cluster.chip))

    def captures(self, prompt: float, graphs: int | None = None) -> bool:
        """Whether a prompt runs in captured graphs.

        Args:
            prompt: its tokens.
            graphs: tokens of the largest graph; None: the engine's default.
        """
        plan = self.deployment
        if graphs is None:
            if plan.engine not in CAPTURES_PROMPTS or not plan.cuda_graphs:
                return False
            from ridgeline.catalog import load_engine

            graphs = load_engine(plan.engine).cuda_graph_max_batch
        return prompt <= graphs

    def outside(self, prompt: float, graphs: int | None = None) -> float:
        """Time of a request before its first token, beside the kernels of steps [s].

        Args:
            prompt, graphs: as in `captures`.
        """
        return self.costs.outside(self.architecture, self.captures(prompt, graphs))

    @functools.cached_property
    def timer(self) -> StepTimer:
        """Seconds of ops on this machine with this engine's kernels."""
        return StepTimer(self.cluster, self.deployment, self.costs)

    def ops(self, step: Step) -> tuple[Op, ...]:
        """Ops of a step on the busiest device."""
        return step_ops(self.architecture, self.deployment, self.formats, step)

    @functools.cached_property
    def policy(self) -> Policy:
        """How this engine fills its steps, all attention copies of a replica together."""
        limits = self.footprint.limits
        copies = self.deployment.attention_dp
        capacity = self.footprint.kv_capacity_tokens(float(self.max_context))
        return Policy(token_budget=limits.max_num_batched_tokens * copies,
                      max_num_seqs=limits.max_num_seqs * copies, kv_capacity=capacity,
                      reserve=RESERVED.get(self.deployment.engine, 1.0),
                      prompts="first" if self.deployment.engine in PROMPTS_FIRST else "mixed",
                      copies=copies)

    def tabulated(self, timer: Timer, fixed: float = 0.0) -> StepTable:
        """Step times of any timer on this replica's grids."""
        work = self.table_work(fixed)
        return work.table([timer(part.ops) for part in work.parts])

    def table_work(self, fixed: float = 0.0) -> TableWork:
        """This replica's grids with the ops to be timed on them.

        A pipeline of pp stages works on pp micro-batches at once, each with 1/pp of the step's
        tokens; a sequence gets one token in the time of the whole pipe.
        """
        stages = self.deployment.pp

        def ops(steps: Mapping[Follows, Step]) -> tuple[Op, ...]:
            if stages > 1:
                steps = {part: _micro_batch(step, stages) for part, step in steps.items()}
            return part_ops(self.architecture, self.deployment, self.formats, steps)

        policy = self.policy
        return table_work(ops, max_tokens=float(policy.token_budget),
                          max_sequences=float(min(policy.max_num_seqs, 4096)),
                          max_context=float(self.max_context), fixed=fixed,
                          mixed=_beside_prompts if self.mixes else None)

    @property
    def mixes(self) -> bool:
        """Whether decoding takes longer in steps that read prompts too: one kernel serves both.

        Models whose attention that kernel cannot do (sinks, heads wider than 256) run in another.
        """
        from ridgeline.timing.kernels.attention_mixed import decodes_in_prompt_kernel

        plan = self.deployment
        mixers = [block.mixer for block, _ in self.architecture.kinds_of_layer]
        return (self.policy.prompts == "mixed" and plan.engine not in self.cluster.chip.kernels
                and not any(isinstance(mixer, Attention) and (mixer.sinks or mixer.head_dim > 256)
                            for mixer in mixers)
                and decodes_in_prompt_kernel(plan.engine, self.cluster.chip, self.formats.kv.name))

    @functools.cached_property
    def table(self) -> StepTable:
        """Step times with the engine's costs."""
        return tables_together([self])[0]

    @functools.cached_property
    def shared(self) -> Grid:
        """Of the time by tokens, what attention copies do together: the experts [s]."""
        tables_together([self])
        found: Grid = vars(self)["shared"]
        return found

    def stepped(self, table: StepTable) -> StepTable:
        """A table of plain steps, or of a component of them, as this replica steps."""
        return table


def tables_together(replicas: Sequence[Deployed]) -> list[StepTable]:
    """The table of each replica, all their kernels timed together.

    Args:
        replicas: plain ones (drafts go on top of their tables); each keeps its table.
    """
    works = [one.table_work(one.costs.fixed(one.architecture)) for one in replicas]
    seconds = seconds_together([(one.timer, ops)
                                for one, work in zip(replicas, works, strict=True)
                                for ops in (*(part.ops for part in work.parts),
                                            _experts(one, work.parts[0].ops))])
    rest = iter(seconds)
    for one, work in zip(replicas, works, strict=True):
        plain = work.table(list(itertools.islice(rest, len(work.parts))))
        vars(one)["shared"] = work.parts[0].grid(next(rest))
        # Attention copies schedule their own sequences, side by side; a prompt is on one of them.
        copies = one.deployment.attention_dp
        # Where functools.cached_property looks first.
        vars(one)["table"] = with_unit_costs(plain, sequence=one.costs.sequence / copies,
                                             token=one.costs.token)
    return [one.table for one in replicas]


def _experts(one: Deployed, ops: Sequence[Op]) -> list[Op]:
    """Of the ops by tokens, those that attention copies do together."""
    alone = one.deployment.attention_dp == 1
    return [] if alone else [op for op in ops if op.kind == "grouped_matmul"]


def _beside_prompts(op: Op) -> Op:
    """A decoding op as it runs in a step that reads prompts too."""
    if op.kind != "attention" or op.labels["form"] != "attention":
        return op
    return dataclasses.replace(op, labels={**op.labels, "phase": "mixed"})


def _micro_batch(step: Step, stages: int) -> Step:
    """One of the equal micro-batches a pipeline splits a step into."""
    return dataclasses.replace(
        step, prefill_tokens=maximum(step.prefill_tokens / stages, where(step.prefill_tokens > 0,
                                                                         1.0, 0.0)),
        decode_sequences=maximum(step.decode_sequences / stages,
                                 where(step.decode_sequences > 0, 1.0, 0.0)))
