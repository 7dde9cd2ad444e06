"""The shipped kernel constants: one data file per family, read on first use.

A file is JSON: {"family", "format_version", "fingerprint", "entries": [...]}. An entry is keyed by
where it was measured: `scope` ("chip", "architecture" or "all") and `target` (the chip as the
measurements name it, or the architecture), `backend` ("*" when pooled) and `format`. Looking one
up walks outward from the case asked for and says how far it went, because the intervals widen
with that distance.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.timing.constants import constants_text
from ridgeline.timing.kernels.residual import Residual, Spread
from ridgeline.timing.kernels.result import Distance

FORMAT_VERSION = 1
ANY = "*"
EAGER = "-eager"  # suffix of a backend whose table holds host-launched times, not kernel times

_ALIASES: Mapping[str, str] = {
    "h100sxm": "H100-SXM", "h100sxm5": "H100-SXM", "h100": "H100-SXM",
    "h100sxm80gb": "H100-SXM", "h100sxm580gb": "H100-SXM",
    "h200sxm": "H200-SXM", "h200": "H200-SXM",
    "b200sxm": "B200-SXM", "b200": "B200-SXM",
    "b300sxm": "B300-SXM", "b300": "B300-SXM",
    "gb300": "GB300", "gb300pergpu": "GB300",
    "a100sxm80g": "A100-SXM-80G", "a100sxm80gb": "A100-SXM-80G", "a100sxm480gb": "A100-SXM-80G",
    "rtxpro6000bse": "RTX-PRO-6000-BSE", "rtxpro6000blackwell": "RTX-PRO-6000-BSE",
    "rtxpro6000": "RTX-PRO-6000-BSE", "rtxpro6000server": "RTX-PRO-6000-BSE",
    "arcprob60": "Arc-Pro-B60", "h800sxm": "H800-SXM",
}


def calibration_name(chip: str) -> str:
    """The name kernel measurements use for a catalog chip; itself when there are none.

    >>> calibration_name("RTX PRO 6000 Blackwell"), calibration_name("MI300X")
    ('RTX-PRO-6000-BSE', 'MI300X')
    """
    plain = "".join(c for c in chip.lower() if c.isalnum())
    return _ALIASES.get(plain, chip)


_WARP_MMA = ("Ampere", "Ada", "Turing")


def family_of(architecture: str) -> str:
    """Architecture without its suffix: "Blackwell Ultra" counts as Blackwell."""
    return architecture.split()[0] if architecture else ""


def kernel_family(chip: Chip) -> str:
    """Family of chips whose kernels are alike, by the matrix instruction they are built on.

    Ampere, Ada and the GDDR cards of Blackwell issue matrix products warp by warp; Hopper and the
    HBM chips of Blackwell have asynchronous instructions of their own. Others: the architecture.
    """
    first = family_of(chip.architecture)
    gddr = first == "Blackwell" and chip.memory_bandwidth < 3e12
    return "warp-mma" if first in _WARP_MMA or gddr else first


@dataclass(frozen=True)
class Entry:
    """Constants of one family of kernels in one place.

    Attributes:
        scope, target, backend, format: the key (see the module).
        version: backend version measured, "" when pooled.
        constants: the physical form's constants by name, SI.
        residual: learned correction, or None.
        spreads: interval widths by distance.
        rows: how many measurements stand behind it.
        note: why the entry is not what its key says (a borrowed kernel), else "".
    """

    scope: str
    target: str
    backend: str
    format: str
    version: str
    constants: Mapping[str, float]
    residual: Residual | None
    spreads: Mapping[str, Spread]
    rows: int
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def spread(self, distance: Distance) -> Spread:
        """Interval widths at a distance; the widest known when that one was not measured."""
        return self.spreads.get(distance) or list(self.spreads.values())[-1]

    def to_json(self) -> dict[str, Any]:
        """The form kept in the data file."""
        return {"scope": self.scope, "target": self.target, "backend": self.backend,
                "format": self.format, "version": self.version, "rows": self.rows,
                "constants": {k: float(f"{v:.6g}") for k, v in self.constants.items()},
                "residual": self.residual.to_json() if self.residual else None,
                "spreads": {k: v.to_json() for k, v in self.spreads.items()},
                "note": self.note, "extra": dict(self.extra)}

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Entry:
        """The inverse of `to_json`."""
        residual = Residual.from_json(form["residual"]) if form["residual"] else None
        return cls(form["scope"], form["target"], form["backend"], form["format"],
                   form["version"], form["constants"], residual,
                   {k: Spread.from_json(v) for k, v in form["spreads"].items()},
                   form["rows"], form.get("note", ""), form.get("extra", {}))


Key = tuple[str, str, str, str]


class Store:
    """Entries of one family, decoded when first asked for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        if content.get("format_version") != FORMAT_VERSION:
            raise BadInput(f"kernel data of version {content.get('format_version')!r}; "
                           f"this release reads version {FORMAT_VERSION}")
        self.family: str = content["family"]
        self.fingerprint: str = content.get("fingerprint", "")
        self._raw: dict[Key, Mapping[str, Any]] = {
            (e["scope"], e["target"], e["backend"], e["format"]): e for e in content["entries"]}
        self._entries: dict[Key, Entry] = {}

    def keys(self) -> list[Key]:
        """(scope, target, backend, format) of every entry."""
        return list(self._raw)

    def holds(self, backend: str, format: str) -> bool:
        """Whether any chip has a table of this backend and format."""
        return any(key[2:] == (backend, format) for key in self._raw)

    def backends(self, scope: str, target: str, format: str) -> dict[str, int]:
        """Rows behind each backend with an entry at one place for one format."""
        return {key[2]: int(raw["rows"]) for key, raw in self._raw.items()
                if (key[0], key[1], key[3]) == (scope, target, format)}

    def get(self, key: Key) -> Entry | None:
        """The entry with exactly this key."""
        if key not in self._raw:
            return None
        if key not in self._entries:
            self._entries[key] = Entry.from_json(self._raw[key])
        return self._entries[key]

    def find(self, chip: Chip, backend: str, formats: Sequence[str]) -> tuple[Entry, Distance]:
        """The nearest entry: this chip, another backend on it, its architecture, then all chips.

        Args:
            chip: what the kernel runs on.
            backend: engine whose kernels are asked for.
            formats: the format wanted, then those whose kernels may stand in for it.
        Raises:
            BadInput: no entry at all for any of the formats.
        """
        target, arch = calibration_name(chip.name), kernel_family(chip)
        for format in formats:
            for scope, name, distance in (("chip", target, "table"),
                                          ("architecture", arch, "architecture"),
                                          ("all", ANY, "pooled")):
                for key in self._candidates(scope, name, backend, format):
                    entry = self.get(key)
                    if entry is not None:
                        far = "backend" if distance == "table" and key[2] != backend else distance
                        return entry, far  # type: ignore[return-value]
        known = ", ".join(sorted({k[3] for k in self._raw}))
        raise BadInput(f"no {self.family} kernel data for format {formats[0]!r}; there is: {known}")

    def _peculiar(self, key: Key) -> bool:
        """Whether the kernels compute in another format than their name says."""
        return bool(self._raw[key].get("extra", {}).get("format"))

    def _candidates(self, scope: str, name: str, backend: str, format: str) -> Iterable[Key]:
        yield (scope, name, backend, format)
        yield (scope, name, ANY, format)
        others = sorted(k for k in self._raw if k[:2] == (scope, name) and k[3] == format
                        and not k[2].endswith(EAGER) and not self._peculiar(k))
        yield from sorted(others, key=lambda k: -int(self._raw[k]["rows"]))


@functools.cache
def load(family: str) -> Store:
    """The shipped constants of a family ("gemm", "moe", "attention", ...).

    Raises:
        BadInput: no data file of that name.
    """
    text = constants_text(f"{family}.json")
    if text is None:
        raise BadInput(f"no kernel constants for family {family!r} in this installation")
    return Store(json.loads(text))


def content(family: str, entries: Iterable[Entry], fingerprint: str) -> dict[str, Any]:
    """A family's data file as a JSON object."""
    return {"family": family, "format_version": FORMAT_VERSION, "fingerprint": fingerprint,
            "entries": [entry.to_json() for entry in entries]}
