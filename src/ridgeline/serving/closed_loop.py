"""A benchmark's closed loop, replayed: so many requests in flight, each done one replaced.

Time jumps from event to event: while no prompt is waiting and nobody finishes, every step has the
same batch, and the sum of its steps is taken at once. So a run costs a few operations a request,
not a few a token.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ridgeline.timing.step_table import ComponentTable, StepTable

__all__ = ["LoopResult", "Policy", "protocol_lengths", "replay_closed_loop"]


@dataclass(frozen=True)
class Policy:
    """How an engine fills a step.

    Attributes:
        token_budget: tokens of one step at most.
        max_num_seqs: sequences running at once at most.
        kv_capacity: tokens the KV cache holds; infinite when None.
        prompts: "mixed" puts prompt chunks and decoding sequences in one step (vLLM V1,
            TensorRT-LLM in-flight batching); "first" runs prompts in steps of their own while
            decoding waits (SGLang).
        reserve: share of a request's output that must be free before it is let in: 1 where
            nothing is ever evicted; half where sequences of all ages share the cache and the
            engine counts on that.
        wait: decode steps that prompts wait for others to fill a step, at most.
        fill: share of the token budget at which they no longer wait; 0: as soon as there is one
            for each copy.
        copies: of attention, side by side: a prompt is on one of them, and a step lasts as long
            as its fullest one. Budget, sequences and cache are of all of them.
    """

    token_budget: int = 8192
    max_num_seqs: int = 1024
    kv_capacity: float | None = None
    prompts: Literal["mixed", "first"] = "mixed"
    reserve: float = 1.0
    wait: int = 0
    fill: float = 1.0
    copies: int = 1


@dataclass(frozen=True)
class LoopResult:
    """Per-request results of a replay, in order of arrival [s].

    With a table of cost components (vectors), times have one column a component.

    Attributes:
        ttft, tpot: of each request.
        duration, output_tokens: of the replay.
        first_wave: requests that arrived together at the start.
        later: requests that followed in the run replayed, of which the others here are a part;
            0: all of them are here.
    """

    ttft: np.ndarray[Any, np.dtype[np.float64]]
    tpot: np.ndarray[Any, np.dtype[np.float64]]
    duration: Any
    output_tokens: int
    first_wave: int = 0
    later: int = 0

    @property
    def mean_ttft(self) -> Any:
        """Mean time to first token of the run replayed [s]."""
        return self._mean(self.ttft)

    @property
    def mean_tpot(self) -> Any:
        """Mean time per output token of the run replayed [s]."""
        return self._mean(self.tpot)

    def _mean(self, times: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
        rest = len(times) - self.first_wave
        if not self.first_wave or not rest or self.later <= rest:
            return times.mean(axis=0)
        share = self.first_wave / (self.first_wave + self.later)
        return (share * times[: self.first_wave].mean(axis=0)
                + (1 - share) * times[self.first_wave:].mean(axis=0))


def protocol_lengths(nominal: int, count: int, low: float = 0.8,
                     law: Sequence[float] = ()) -> list[int]:
    """`count` lengths spread evenly over [low, 1] x nominal, in a fixed scattered order.

    A golden-ratio sequence fills the range evenly, so few requests stand for many. With a law
    (quantiles of length / nominal at equal shares) lengths follow it instead.
    """
    steps = (np.arange(1, count + 1) * 0.6180339887498949) % 1.0
    if law:
        shares = (np.arange(len(law)) + 0.5) / len(law)
        return [max(1, round(nominal * float(s))) for s in np.interp(steps, shares, law)]
    return [max(1, round(nominal * (low + (1 - low) * s))) for s in steps]


def replay_closed_loop(table: StepTable | ComponentTable, *, concurrency: int,
                       prompts: Sequence[int], outputs: Sequence[int], policy: Policy,
                       together: Callable[[float], Any] | None = None) -> LoopResult:
    """Run the requests with at most `concurrency` in flight; the first wave arrives at once.

    Args:
        table: step times of the deployment.
        concurrency: requests in flight.
        prompts, outputs: tokens of each request, same length.
        policy: the engine's scheduler.
        together: of the table's time by tokens, what all attention copies work on together [s]
            (by component, with such a table); None: they share nothing.

    Returns:
        times of every request.
    """
    loop = _Loop(table, list(prompts), list(outputs), policy, together or (lambda _: 0.0))
    loop.run(concurrency)
    ttft = np.asarray(loop.first) - np.asarray(loop.arrival)
    gaps = np.maximum(np.asarray(outputs, float) - 1, 1)
    decoding = np.asarray(loop.last) - np.asarray(loop.first)
    tpot = (decoding.T / gaps).T
    return LoopResult(ttft, tpot, loop.now, int(np.sum(outputs)))


class _Loop:
    """State of a run. `generated` counts decode steps since the start: a sequence that began at
    step g with `out` tokens leaves at step g + out - 1."""

    def __init__(self, table: StepTable | ComponentTable, prompts: list[int], outputs: list[int],
                 policy: Policy, together: Callable[[float], Any]) -> None:
        count = len(prompts)
        self.together = together
        self.table, self.prompts, self.outputs, self.policy = table, prompts, outputs, policy
        # Times may be vectors (one entry a cost component): they are only ever added up.
        self.now: Any = 0.0 * table.fixed
        self.arrival, self.first, self.last = ([self.now] * count for _ in range(3))
        self.generated = 0
        self.running: list[tuple[int, int]] = []        # (step at which it ends, request)
        self.base = 0                                   # sum over running of length - generated
        self.waiting: deque[int] = deque()
        self.done_tokens = 0                            # of the prompt at the head of the queue
        self.reserved = 0.0                             # KV tokens promised to admitted requests
        self.next = 0
        self.waited = 0                                 # steps since prompts began to wait

    def run(self, concurrency: int) -> None:
        """Serve every request."""
        self._arrive(concurrency)
        while self.running or self.waiting:
            if self.waiting and self._can_admit():
                if self.running and self.waited < self.policy.wait and not self._filled():
                    self._decode(1)
                    self.waited += 1
                    continue
                self.waited = 0
                self._prompt_step()
            else:
                self._decode_until_event()

    def _arrive(self, count: int) -> None:
        for _ in range(min(count, len(self.prompts) - self.next)):
            self.arrival[self.next] = self.now
            self.waiting.append(self.next)
            self.next += 1

    def _can_admit(self) -> bool:
        if self.done_tokens:
            return True
        if len(self.running) >= self.policy.max_num_seqs:
            return False
        if self.policy.kv_capacity is None or not self.running:
            return True
        head = self.waiting[0]
        return self.reserved + self._held(head) <= self.policy.kv_capacity

    def _held(self, request: int) -> float:
        """KV tokens set aside for a request."""
        return self.prompts[request] + self.policy.reserve * self.outputs[request]

    def _context(self) -> float:
        return self.base / len(self.running) + self.generated if self.running else 1.0

    def _prompt_step(self) -> None:
        """One step with as many prompt tokens as the budget allows."""
        mixed = self.policy.prompts == "mixed"
        decoding = len(self.running) if mixed else 0
        budget = max(1, self.policy.token_budget - decoding)
        pieces: list[tuple[int, int, int]] = []         # (request, new tokens, past)
        finished: list[int] = []
        while self.waiting and budget > 0 and self._can_admit():
            head = self.waiting[0]
            if not self.done_tokens:
                self.reserved += self._held(head)
            new = min(budget, self.prompts[head] - self.done_tokens)
            pieces.append((head, new, self.done_tokens))
            budget -= new
            self.done_tokens += new
            if self.done_tokens < self.prompts[head]:
                break
            finished.append(self.waiting.popleft())
            self.done_tokens = 0
            if len(self.running) + len(finished) >= self.policy.max_num_seqs:
                break
        self.now = self.now + self._seconds(pieces, decoding, len(finished))
        if mixed:
            self.generated += 1
        self._start(finished)
        self._finish()

    def _seconds(self, pieces: list[tuple[int, int, int]], decoding: int, finished: int) -> Any:
        table = self.table
        fullest = self._fullest_copy(pieces)
        new = sum(tokens for _, tokens, _ in pieces)
        most = sum(tokens for _, tokens, _ in fullest)
        share = self._in_turn(most, new, finished)
        seconds = table.fixed + self._by_tokens(new + decoding, most * share, decoding)
        for _, tokens, past in fullest:
            seconds += share * table.prefill(tokens, past)
        if decoding:
            seconds += table.beside_prompts(self._even(decoding), self._context())
        if decoding + finished:
            seconds += table.logits(self._even(decoding + finished))
        return seconds

    def _fullest_copy(self, pieces: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Pieces on the copy that has most, when each goes to the one that has least."""
        if self.policy.copies == 1:
            return pieces
        loads = [0] * min(self.policy.copies, len(pieces))
        held: list[list[tuple[int, int, int]]] = [[] for _ in loads]
        for piece in pieces:
            least = loads.index(min(loads))
            loads[least] += piece[1]
            held[least].append(piece)
        return held[loads.index(max(loads))]

    def _in_turn(self, most: int, new: int, finished: int) -> float:
        """Share of the fullest copy's prompt tokens that this step reads.

        Each copy reads as many as its part of the budget: where enough long prompts wait, all
        copies read at one of their own at once, and the next step has what is left.
        """
        copies = self.policy.copies
        if copies == 1:
            return 1.0
        busy = min(len(self.waiting) + finished, copies)
        return min(1.0, max(self.policy.token_budget / copies, new / busy) / most)

    def _even(self, sequences: int) -> int:
        """Sequences of all copies together, if each had as many as the fullest."""
        copies = self.policy.copies
        return -(-sequences // copies) * copies

    def _by_tokens(self, total: int, prompt: float, decoding: int) -> Any:
        """Time that follows the tokens of a step [s].

        Args:
            total: of all copies.
            prompt: of prompts, on the fullest copy.
            decoding: sequences, on all of them.
        """
        if self.policy.copies == 1:
            return self.table.tokens(total)
        full = self._even(decoding) + prompt * self.policy.copies
        if full == total:
            return self.table.tokens(total)
        return self.table.tokens(full) + self.together(total) - self.together(full)

    def _start(self, finished: list[int]) -> None:
        """Prompts whose first token is out join the batch."""
        for request in finished:
            self.first[request] = self.now
            if self.outputs[request] <= 1:
                self._leave(request)
                continue
            heapq.heappush(self.running,
                           (self.generated + self.outputs[request] - 1, request))
            self.base += self.prompts[request] + 1 - self.generated

    def _decode_until_event(self) -> None:
        """All decode-only steps up to the next completion, at once.

        Step time is close to linear in context over such a stretch, so the sum is the number of
        steps times the step at the middle.
        """
        self._decode(self.running[0][0] - self.generated)

    def _filled(self) -> bool:
        """Whether prompts that wait fill a step as far as they are waited for."""
        if not self.policy.fill:
            return len(self.waiting) >= self.policy.copies
        waiting = sum(self.prompts[request] for request in self.waiting) - self.done_tokens
        return len(self.running) + waiting >= self.policy.fill * self.policy.token_budget

    def _decode(self, steps: int) -> None:
        """So many steps of the sequences at hand, none of which ends before the last."""
        middle = self._context() + (steps - 1) / 2
        count = len(self.running)
        even = self._even(count)
        each = (self.table.fixed + self._by_tokens(count, 0, count)
                + self.table.decode(even, middle) + self.table.logits(even))
        self.now = self.now + steps * each
        self.generated += steps
        self._finish()

    def _finish(self) -> None:
        while self.running and self.running[0][0] <= self.generated:
            end, request = heapq.heappop(self.running)
            began = end - (self.outputs[request] - 1)
            self.base -= self.prompts[request] + 1 - began
            self._leave(request)

    def _leave(self, request: int) -> None:
        self.last[request] = self.now
        self.reserved -= self._held(request)
        self._arrive(1)
