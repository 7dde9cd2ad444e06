"""How a replica schedules: the rules of an engine as numbers."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.closed_loop import Policy
from ridgeline.serving.rules import PrefixCache, Ranks, Speculation, Swap

__all__ = ["ORDERS", "SCHEDULERS", "Scheduler", "named_scheduler"]

ORDERS = ("fcfs", "shortest", "priority")
SCHEDULERS = ("vllm", "sglang", "static", "reserve")
_MOST_SEQUENCES = 1 << 20
# Between departures at most [s].
_LONGEST = 3600.0


@dataclass(frozen=True)
class Scheduler:
    """Rules by which one replica fills its steps.

    Attributes:
        token_budget: tokens of one step at most, of each rank.
        max_num_seqs: sequences running at once at most, of each rank.
        kv_blocks: KV blocks of each rank; None: no limit.
        block_size: tokens in a block.
        prompts: "mixed" puts prompt chunks and decoding sequences in one step (vLLM V1); "first"
            runs prompts in steps of their own while decoding waits (SGLang).
        static: a batch admits nobody from its first decode step until its last sequence is done;
            rows of sequences already done are still computed.
        order: who is served next: "fcfs", "shortest" (prompt plus output) or "priority" (smallest
            number first).
        reserve: share of the output whose blocks are promised at admission, 0 to 1; the whole
            prompt must then fit into free blocks. None: a request is admitted as soon as its next
            chunk fits.
        interval: steps begin at multiples of this [s]; 0: as soon as the last one is done.
        prompt_factor: on the time of steps that read prompts, as engines show beside the table's
            decode steps (see step_factors).
        most_waiting: requests that may wait; those that find so many are turned away. None: any
            number.
        speculation: drafts a step; None: none.
        swap: room for preempted sequences on the host; None: they start over.
        prefix_cache: reuse of prefixes by their blocks' hashes; None: none.
        seed: of the drafts accepted.
        overlap: a step is decided while the one before it runs, so that the device never waits
            for the scheduler: who arrives or leaves meanwhile counts a step later.
        ranks: attention copies that schedule for themselves and step together; one: the replica
            is a single scheduler.
        detail: take every step by itself and keep it in the timeline, of which every second row
            is dropped whenever it is full.
    """

    token_budget: int = 8192
    max_num_seqs: int = 1024
    kv_blocks: int | None = None
    block_size: int = 16
    prompts: str = "mixed"
    static: bool = False
    order: str = "fcfs"
    reserve: float | None = None
    interval: float = 0.0
    prompt_factor: float = 1.0
    most_waiting: int | None = None
    speculation: Speculation | None = None
    swap: Swap | None = None
    prefix_cache: PrefixCache | None = None
    seed: int = 0
    overlap: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    detail: bool = False

    def __post_init__(self) -> None:
        for name in ("token_budget", "max_num_seqs", "block_size"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_num_seqs > _MOST_SEQUENCES:
            raise BadInput(f"max_num_seqs must be at most {_MOST_SEQUENCES:,}")
        if self.kv_blocks is not None and self.kv_blocks < 1:
            raise BadInput(f"the KV cache holds {self.kv_blocks} blocks; it must hold at least 1")
        if self.prompts not in ("mixed", "first"):
            raise UnknownName.among("prompts", self.prompts, ("mixed", "first"))
        if self.order not in ORDERS:
            raise UnknownName.among("order", self.order, ORDERS, "Accepted: " + ", ".join(ORDERS))
        if self.reserve is not None and not 0 <= self.reserve <= 1:
            raise BadInput(f"reserve must be between 0 and 1, not {self.reserve:g}")
        if self.static and (self.reserve != 1 or self.prompts != "first"):
            raise BadInput("static batching needs prompts='first' and reserve=1")
        if not 0 <= self.interval <= _LONGEST:
            raise BadInput(f"interval must be from 0 to {_LONGEST:g} s, not {self.interval:g}")
        if not (math.isfinite(self.prompt_factor) and self.prompt_factor > 0):
            raise BadInput(f"prompt_factor must be positive, not {self.prompt_factor:g}")
        if self.most_waiting is not None and self.most_waiting < 1:
            raise BadInput(f"most_waiting must be at least 1, not {self.most_waiting}")
        if self.overlap and (self.static or self.interval):
            raise BadInput("steps of static batches and of departures at an interval are not "
                           "decided ahead; leave overlap out")
        if self.static and self.ranks.count > 1:
            raise BadInput("static batching goes with one attention copy")
        if self.static and (self.speculation or self.prefix_cache):
            raise BadInput("static batching goes with neither speculation nor a prefix cache")
        if self.prompts == "mixed" and self.token_budget <= self.drafts:
            raise BadInput(f"a budget of {self.token_budget} tokens a step has no room for "
                           f"{self.drafts} drafts")

    @property
    def drafts(self) -> int:
        """Tokens drafted for each sequence and step."""
        return self.speculation.drafts if self.speculation else 0

    @property
    def all_blocks(self) -> int | None:
        """KV blocks of all ranks; None: no limit."""
        return None if self.kv_blocks is None else self.kv_blocks * self.ranks.count

    @property
    def by_key(self) -> bool:
        """Whether waiting requests are kept in an ordered queue."""
        return self.order != "fcfs" or self.most_waiting is not None

    @classmethod
    def of_policy(cls, policy: Policy, *, block_size: int = 1) -> Scheduler:
        """The same rules as a closed-loop replay: the blocks it promises set aside."""
        blocks = None
        if policy.kv_capacity is not None and math.isfinite(policy.kv_capacity):
            blocks = int(policy.kv_capacity // block_size)
        return cls(policy.token_budget, policy.max_num_seqs, blocks, block_size, policy.prompts,
                   reserve=None if blocks is None else policy.reserve)

    @property
    def sequences(self) -> int:
        """Sequences that can run at once: no more than a step has tokens when steps are mixed."""
        if self.prompts == "mixed":
            return min(self.max_num_seqs, self.token_budget // (1 + self.drafts))
        return self.max_num_seqs

    def holds(self, prompt: int, output: int) -> bool:
        """Whether a request fits into the cache at all, alone."""
        longest = prompt + max(output, 1) - 1
        return self.kv_blocks is None or -(-longest // self.block_size) <= self.kv_blocks


def named_scheduler(name: str, base: Scheduler) -> Scheduler:
    """`base` with the rules that go by a name.

        vllm      prompts and decoding share steps; whole prompt must fit on admission
        sglang    prompts first; 30 % of the output promised
        static    a batch at a time
        reserve   as vllm, with the whole output promised, so that nobody is ever preempted

    Raises:
        UnknownName: none of these.
    """
    rules: dict[str, dict[str, object]] = {
        "vllm": {"prompts": "mixed", "reserve": 0.0},
        "sglang": {"prompts": "first", "reserve": 0.3},
        "static": {"prompts": "first", "reserve": 1.0, "static": True},
        "reserve": {"prompts": "mixed", "reserve": 1.0},
    }
    if name not in rules:
        raise UnknownName.among("scheduler", name, rules, "Accepted: " + ", ".join(rules))
    return dataclasses.replace(base, **rules[name])  # type: ignore[arg-type]
