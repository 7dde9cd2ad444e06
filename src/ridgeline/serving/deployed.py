"""A model deployed on a machine, ready to be asked how long its steps take."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats
from ridgeline.machine import Cluster
from ridgeline.memory.inference import Footprint, footprint
from ridgeline.model.architecture import Architecture
from ridgeline.serving.closed_loop import (
    LoopResult,
    Policy,
    protocol_lengths,
    replay_closed_loop,
)
from ridgeline.timing.engine import EngineCosts, engine_costs
from ridgeline.timing.step_table import StepTable, tabulate
from ridgeline.timing.step_time import StepTimer
from ridgeline.work.op import Op
from ridgeline.work.step import Step, step_ops

__all__ = ["Deployed"]

# Requests replayed for a steady answer, as a multiple of the concurrency, and their bounds: enough
# waves to forget the first one.
_WAVES, _LEAST, _MOST = 6, 24, 4096


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
        return engine_costs(self.deployment.engine, self.deployment.engine_version)

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
        prompts = "first" if self.costs.prompts == "first" else "mixed"
        return Policy(token_budget=limits.max_num_batched_tokens * copies,
                      max_num_seqs=limits.max_num_seqs * copies, kv_capacity=capacity,
                      prompts=prompts)  # type: ignore[arg-type]

    @functools.cached_property
    def table(self) -> StepTable:
        """Step times on a grid.

        A micro-batch of a pipeline carries 1/pp of the sequences, and takes the whole pipe's
        latency; so the table is by sequences of a micro-batch.
        """
        policy = self.policy
        layers = self.architecture.n_layers
        return tabulate(self.ops, self.timer, max_tokens=float(policy.token_budget),
                        max_sequences=float(min(policy.max_num_seqs, 4096)),
                        max_context=float(self.max_context),
                        fixed=self.costs.step + self.costs.layer * layers)

    def closed_loop(self, *, concurrency: int, prompt: int, output: int,
                    spread: tuple[float, float] = (0.9, 1.1), requests: int | None = None
                    ) -> LoopResult:
        """Replay a closed loop on one replica.

        Args:
            concurrency: requests in flight on this replica.
            prompt, output: nominal tokens of a request.
            spread: lengths are spread evenly over this range times the nominal ones, so that
                requests do not run in lockstep.
            requests: how many; None: enough for a steady answer.
        """
        count = requests or min(max(_WAVES * concurrency, _LEAST), _MOST)
        low, high = spread
        prompts = protocol_lengths(round(prompt * high), count, low / high)
        outputs = protocol_lengths(round(output * high), count, low / high)
        # Lengths of prompt and output are independent: pair them in opposite order.
        return replay_closed_loop(self.table, concurrency=concurrency, prompts=prompts,
                                  outputs=outputs[::-1], policy=self.policy)
