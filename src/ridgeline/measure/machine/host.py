"""What the operating system says about this machine."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from ridgeline.measure.machine.points import Host

__all__ = ["cpu_host", "usable_cores"]

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_VENDORS = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
_SCALE = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3}


def usable_cores() -> int:
    """Cores this process may use, where the system tells, else all."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def cpu_host(software: str = "") -> Host:
    """The processor of this machine."""
    info = _cpuinfo()
    vendor = _VENDORS.get(info.get("vendor_id", ""), info.get("vendor_id", ""))
    name = info.get("model name") or platform.processor() or platform.machine() or "processor"
    maker = "Apple" if platform.system() == "Darwin" else "unknown"
    return Host(name=name, vendor=vendor or maker, device="cpu", n_cores=usable_cores(),
                memory_bytes=_memory(), caches=_caches(),
                load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, software=software)


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines, empty where there is no such file."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _memory() -> float:
    """Physical memory [bytes], 1 GB where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return 1e9


def _caches() -> dict[str, float]:
    """Data cache sizes of one core by level [bytes]."""
    found = {}
    for index in sorted(_CACHES.glob("index*")):
        try:
            kind, level, text = ((index / part).read_text(encoding="utf-8").strip()
                                 for part in ("type", "level", "size"))
        except OSError:
            continue
        size = re.fullmatch(r"(\d+)([KMG]?)", text)
        if kind != "Instruction" and size:
            found[f"L{level}"] = float(size[1]) * _SCALE[size[2]]
    return found
