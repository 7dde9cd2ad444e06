"""One measured point, and all of a machine: plain records that survive an interruption."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput

__all__ = ["Host", "Machine", "Point", "read_machine"]


@dataclass(frozen=True)
class Host:
    """Where the measurement ran.

    Attributes:
        name, vendor: of the processor or accelerator.
        device: "cpu" or "cuda".
        n_cores: cores, or streaming multiprocessors.
        memory_bytes: of the device.
        caches: cache sizes by level, such as {"L1": 32768.0} [bytes].
        clock: highest, 0 when unknown [Hz].
        load: other processes running when it began (load average of one minute).
        software: what ran the work ("numpy 2.4.0, OpenBLAS").
    """

    name: str
    vendor: str
    device: str
    n_cores: int
    memory_bytes: float
    caches: Mapping[str, float]
    clock: float = 0.0
    load: float = 0.0
    software: str = ""


@dataclass(frozen=True)
class Point:
    """One ceiling at one size.

    Attributes:
        kind: "read", "copy", "matmul", "matvec" or "launch"; of an engine's kernels "product",
            "attend", "move", "launch" or "cost".
        format: of the numbers ("fp32", "bf16", "q8_0", ...); of an attend its phase; of a cost
            its name.
        size: working set [bytes]; of a matmul the edge of its square matrices; of an attend its
            tokens; of a launch or cost 0.
        threads: at work.
        rate: best: bytes/s, FLOP/s, or seconds of one launch or cost.
        median_rate: of the median sample, in the same unit.
        noise: median time over best time, less one.
        samples: timed.
        rows, depth: of a product; the depth of an attend is its heads' width.
        library: whose kernels: "ggml" or "torch"; "" for the machine's own ceilings.
    """

    kind: str
    format: str
    size: float
    threads: int
    rate: float
    median_rate: float
    noise: float
    samples: int
    rows: int = 0
    depth: int = 0
    library: str = ""

    @property
    def intensity(self) -> float:
        """FLOP a byte moved of a matmul with square matrices of 4, 2 or 1 bytes a number."""
        width = {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "fp8": 1.0, "int8": 1.0}
        return 2.0 * self.size / (3.0 * width.get(self.format, 2.0))


@dataclass(frozen=True)
class Machine:
    """Every point of a machine.

    Attributes:
        host: where.
        points: in the order measured.
        began: date and time.
        complete: whether the whole plan was measured.
    """

    host: Host
    points: tuple[Point, ...]
    began: str
    complete: bool = True

    def of(self, kind: str, *, format: str = "", threads: int = 0, library: str = ""
           ) -> tuple[Point, ...]:
        """Points of a kind and library, and of a format and thread count where given, by size."""
        found = [p for p in self.points if p.kind == kind and format in ("", p.format)
                 and threads in (0, p.threads) and p.library == library]
        return tuple(sorted(found, key=lambda p: (p.format, p.threads, p.size)))

    def best(self, other: Machine) -> Machine:
        """Of this and a later measurement of the same machine, the better of each point."""
        def key(p: Point) -> tuple[Any, ...]:
            return (p.kind, p.format, p.size, p.threads, p.rows, p.depth, p.library)

        found = {key(p): p for p in self.points}
        for p in other.points:
            old, less = found.get(key(p)), p.kind in ("launch", "cost")
            if old is None or (p.rate < old.rate if less else p.rate > old.rate):
                found[key(p)] = p
        return dataclasses.replace(self, points=tuple(found.values()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": "ridgeline-machine", **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """The inverse of `to_dict`.

        Raises:
            BadInput: not such a record.
        """
        try:
            return cls(Host(**data["host"]), tuple(Point(**p) for p in data["points"]),
                       str(data["began"]), bool(data["complete"]))
        except (KeyError, TypeError) as error:
            raise BadInput(f"not a measured machine: {error}") from None


def read_machine(path: str | Path) -> Machine:
    """Read what `ridgeline measure machine --points FILE` wrote.

    Raises:
        BadInput: unreadable, or of another kind.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot read measured machine {path}: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != "ridgeline-machine":
        raise BadInput(f"{path} holds no measured machine")
    return Machine.from_dict(data)


def peak_rate(points: Iterable[Point]) -> float:
    """The best rate of some points, 0 of none."""
    return max((p.rate for p in points), default=0.0)
