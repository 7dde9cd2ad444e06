"""What a claim is about, as the handful of numbers its limits need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.questions.answer import Derived, Value
from ridgeline.questions.claim_text import TextClaim
from ridgeline.questions.textbook import WholeModel, whole_model

if TYPE_CHECKING:
    from ridgeline.machine.chip import Chip
    from ridgeline.model.architecture import Architecture

__all__ = ["Checked", "Subject", "subject_of"]


@dataclass(frozen=True)
class Checked:
    """A verdict with what it rests on.

    Attributes:
        verdict: impossible, implausible, possible; or correct, approximately, wrong.
        sentence: the verdict in words, with the number that decides it.
        quantities: named results.
        ways: what would make it possible: (change, then, note).
        slips: the likely slips behind a wrong number.
        notes: assumptions made.
        derivation: formulas behind the limit.
    """

    verdict: str
    sentence: str
    quantities: dict[str, Value] = field(default_factory=dict)
    ways: tuple[tuple[str, str], ...] = ()
    slips: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    derivation: tuple[Derived, ...] = ()


@dataclass(frozen=True)
class Subject:
    """Model, chips and format of a claim; whatever it does not name is None.

    Attributes:
        label: model as named.
        architecture: known model.
        params: parameters when only a size is given [param].
        chip, n_chips: hardware.
        machine: as named.
        format: weight format.
    """

    label: str
    architecture: Architecture | None
    params: float | None
    chip: Chip | None
    n_chips: int
    machine: str
    format: str | None
    kv_format: str | None = None

    @property
    def total_params(self) -> float:
        """Parameters in all.

        Raises:
            BadInput: the claim names no model.
        """
        if self.architecture is not None:
            return float(self.architecture.total_params)
        if self.params is None:
            raise BadInput("which model? name one ('Llama-3-70B') or its size ('a 70B model')")
        return self.params

    @property
    def active_params(self) -> float:
        """Parameters a token uses."""
        if self.architecture is not None:
            return float(self.architecture.active_params)
        return self.total_params

    @property
    def hardware(self) -> Chip:
        """The chip.

        Raises:
            BadInput: the claim names none.
        """
        if self.chip is None:
            raise BadInput("on which machine? add for instance 'on 8xH100'")
        return self.chip

    @property
    def weights(self) -> str:
        """Weight format: as named, else the model's own, else 16 bit."""
        if self.format:
            return self.format
        return self.architecture.weight_format if self.architecture else "bf16"

    @property
    def stored(self) -> str:
        """The weight format in words, that of experts where it differs."""
        experts = self.architecture.expert_format if self.architecture else None
        if self.format or not experts or experts == self.weights:
            return self.weights
        return f"{self.weights} with experts in {experts}"

    @property
    def weight_bits(self) -> float:
        """Bits of a weight in its format."""
        from ridgeline.formats import get_format

        return get_format(self.weights).bits

    @property
    def kv_per_token(self) -> float:
        """Cache of one token [bytes].

        Raises:
            BadInput: no known model, so nobody knows its heads.
        """
        from ridgeline.formats import get_format

        if self.architecture is None:
            raise BadInput("the KV cache depends on layers and heads; name a known model, such as "
                           "Llama-3-70B")
        bits = get_format(self.kv_format or "bf16").bits
        return float(self.architecture.kv_bytes_per_token(kv_bits=bits))

    @property
    def weight_bytes(self) -> float:
        """Stored weights: in the format named, else as the model declares each matrix [bytes]."""
        if self.architecture is None or self.format:
            return self.total_params * self.weight_bits / 8
        from ridgeline.deployment import Deployment
        from ridgeline.deployment.sharding import weight_formats

        formats = weight_formats(self.architecture, Deployment())
        return float(sum(w.elements * repeats * formats.bits(w) / 8
                         for w, repeats in self.architecture.weights()))

    def whole(self, weights: str | None = None) -> WholeModel:
        """The model as the textbook sees it, all chips one group.

        Args:
            weights: format of all weights; None: the one named, else as the model declares.

        Raises:
            BadInput: no machine or model, or the chip cannot run the format.
        """
        if self.architecture is None:
            return self._sized(weights or self.weights)
        return whole_model(self._resolved(weights or self.format))

    def _sized(self, name: str) -> WholeModel:
        from ridgeline.formats import compute_format, get_format

        chip, total = self.hardware, self.total_params
        return WholeModel(total, 0.0, total * get_format(name).bytes, 0.0, total, 0.0, 0.0, 0.0,
                          0.0, self.n_chips, chip.peak(compute_format(name, chip)),
                          chip.memory_bandwidth)

    def _resolved(self, name: str | None) -> Any:
        from ridgeline.deployment import Deployment
        from ridgeline.deployment.operands import settle_formats
        from ridgeline.machine import Cluster
        from ridgeline.questions.resolve import Resolved
        from ridgeline.scenario import Scenario

        assert self.architecture is not None
        plan = Deployment(tp=self.n_chips, weights=name, kv=self.kv_format)
        return Resolved(Scenario(self.label, self.machine, plan), self.architecture,
                        Cluster.of(self.hardware, self.n_chips), plan,
                        settle_formats(self.architecture, plan, self.hardware))

    def compute(self, weights: str | None = None) -> str:
        """The peak at which the weights' format runs ("bf16", "fp8")."""
        from ridgeline.formats import compute_format

        declared = self.architecture.expert_format if self.architecture else None
        return compute_format(weights or self.format or declared or self.weights, self.hardware)


def subject_of(claim: TextClaim) -> Subject:
    """Look the names of a claim up.

    Raises:
        BadInput: a name that has gone missing from the catalog.
    """
    from ridgeline.machine.parse import parse_machine
    from ridgeline.model.load import load_architecture

    architecture = load_architecture(claim.model) if claim.model else None
    params = None if architecture else claim.value("params")
    cluster = parse_machine(claim.machine) if claim.machine else None
    n_chips = cluster.n_chips if cluster else 1
    if cluster and n_chips == 1 and (count := claim.value("chips")):
        n_chips = max(1, int(count))
    label = claim.model or (f"a model of {params / 1e9:g}B parameters" if params else "the model")
    kv_format = "fp8" if claim.says(r"(?:fp8|8-bit) (?:kv|cache)", r"kv[- ]?cache in fp8") else None
    return Subject(label.split("/")[-1], architecture, params, cluster.chip if cluster else None,
                   n_chips, claim.machine or "", claim.format, kv_format)
