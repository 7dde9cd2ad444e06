"""Constants of a physical form, each a common value times a factor for every level that applies.

    log c = log common + offset[engine=...] + offset[device=...] + ...

A level that was never measured adds nothing, so a new device falls back on its architecture, and
that on the engine. The offsets are fitted together with a pull to zero (`measure.fit.levels`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Constant", "Levelled", "Spreads"]

Keys = Mapping[str, str]


@dataclass(frozen=True)
class Constant:
    """One constant of a form.

    Attributes:
        name: as the form calls it.
        start: first guess, in its own unit.
        low, high: what it may be.
        levels: level -> how far, in log, its offsets usually lie from zero.
    """

    name: str
    start: float
    low: float
    high: float
    levels: Mapping[str, float]


@dataclass(frozen=True)
class Levelled:
    """Fitted constants.

    Attributes:
        constants: what is fitted, in order.
        common: log of each constant's common value.
        offsets: constant -> "level=value" -> offset of its log.
    """

    constants: Sequence[Constant]
    common: Mapping[str, float]
    offsets: Mapping[str, Mapping[str, float]]

    def values(self, keys: Keys) -> dict[str, float]:
        """Every constant for one case.

        Args:
            keys: level -> value of the case ("engine": "llamacpp/cuda").
        """
        found = {}
        for constant in self.constants:
            offsets = self.offsets[constant.name]
            log = self.common[constant.name] + sum(
                offsets.get(f"{level}={keys.get(level, '')}", 0.0) for level in constant.levels)
            found[constant.name] = min(max(math.exp(log), constant.low), constant.high)
        return found

    def knows(self, level: str, value: str) -> bool:
        """Whether a value of a level was measured."""
        return any(f"{level}={value}" in offsets for offsets in self.offsets.values())

    def to_json(self) -> dict[str, Any]:
        """The form kept in a data file; the constants' bounds stay in the code."""
        return {"common": {k: round(v, 5) for k, v in self.common.items()},
                "offsets": {c: {k: round(v, 4) for k, v in found.items()}
                            for c, found in self.offsets.items()}}

    @classmethod
    def from_json(cls, constants: Sequence[Constant], form: Mapping[str, Any]) -> Levelled:
        """The inverse of `to_json`."""
        return cls(constants, form["common"], form["offsets"])


@dataclass(frozen=True)
class Spreads:
    """How far measurements lie from predictions, by how far the case is from the data.

    Attributes:
        common: distance -> log of measured over predicted time at 2.5, 10, 90 and 97.5 %.
        widths: distance -> group -> factor on those logs for a group of cases.
    """

    common: Mapping[str, Sequence[float]]
    widths: Mapping[str, Mapping[str, float]]

    def ends(self, distance: str, group: str) -> tuple[float, float, float, float]:
        """Factors on a predicted time at 2.5, 10, 90 and 97.5 %; a group never met is as others."""
        width = self.widths.get(distance, {}).get(group, 1.0)
        low95, low80, high80, high95 = (math.exp(width * e) for e in self.common[distance])
        return low95, low80, high80, high95

    def to_json(self) -> dict[str, Any]:
        """The form kept in a data file."""
        return {"common": {d: [round(e, 4) for e in ends] for d, ends in self.common.items()},
                "widths": {d: {g: round(w, 3) for g, w in found.items()}
                           for d, found in self.widths.items()}}

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Spreads:
        """The inverse of `to_json`."""
        return cls(form["common"], form["widths"])
