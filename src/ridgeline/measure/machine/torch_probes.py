"""The same probes through PyTorch: 16-bit and 8-bit matrix rates of a CPU, everything of CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ridgeline.measure.machine.clock import timed
from ridgeline.measure.machine.points import Host, Point
from ridgeline.measure.machine.probes import Job, point_of

__all__ = ["cuda_host", "probe_torch", "torch_formats"]


def _torch() -> Any:
    import importlib

    return importlib.import_module("torch")


def torch_formats(device: str) -> list[str]:
    """Formats whose matmul runs on the device, found by running one of each."""
    found = []
    for format in ("fp32", "tf32", "bf16", "fp16", "fp8", "int8"):
        if format == "tf32" and device == "cpu":
            continue
        try:
            work, _ = _matmul(format, 64.0, device)
            work()
            _wait(device)
        except (RuntimeError, NotImplementedError, AttributeError, TypeError, ValueError):
            continue
        found.append(format)
    return found


def probe_torch(job: Job, budget: float, device: str) -> Point:
    """Measure one job with PyTorch on a device. Arguments as `probes.probe_numpy`."""
    kind, format, size, threads = job
    torch = _torch()
    if device == "cpu":
        torch.set_num_threads(threads)
    if kind == "matmul":
        work, amount = _matmul(format, size, device)
    else:
        work, amount = {"read": _read, "copy": _copy, "launch": _launch}[kind](size, device)
    with torch.inference_mode():
        return point_of(job, amount, timed(work, budget=budget, wait=lambda: _wait(device)))


def _wait(device: str) -> None:
    if device != "cpu":
        _torch().cuda.synchronize()


def _read(size: float, device: str) -> tuple[Callable[[], object], float]:
    """The largest of all numbers: everything is read and one number written."""
    torch = _torch()
    values = torch.ones(max(16, int(size / 4)), device=device)
    return lambda: torch.amax(values), float(values.numel() * 4)


def _copy(size: float, device: str) -> tuple[Callable[[], object], float]:
    torch = _torch()
    values = torch.ones(max(16, int(size / 8)), device=device)
    target = torch.empty_like(values)
    return lambda: target.copy_(values), float(values.numel() * 8)


def _launch(size: float, device: str) -> tuple[Callable[[], object], float]:
    one = _torch().ones(1, device=device)
    return lambda: one.add_(1.0), 0.0


def _matmul(format: str, size: float, device: str) -> tuple[Callable[[], object], float]:
    """Square matrices; 8-bit floats with one scale a tensor, 8-bit integers into 32 bits."""
    torch, edge = _torch(), int(size)
    flop = 2.0 * edge**3
    left, right = torch.randn(edge, edge, device=device), torch.randn(edge, edge, device=device)
    if format == "fp8":
        kind, one = torch.float8_e4m3fn, torch.ones(1, device=device)
        a, b = left.to(kind), right.to(kind).t()
        return (lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one,
                                         out_dtype=torch.bfloat16)), flop
    if format == "int8":
        c, d = left.to(torch.int8), right.to(torch.int8)
        return lambda: torch._int_mm(c, d), flop
    if device != "cpu":
        torch.backends.cuda.matmul.allow_tf32 = format == "tf32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(format, torch.float32)
    e, f = left.to(dtype), right.to(dtype)
    out = torch.empty(edge, edge, device=device, dtype=dtype)
    return lambda: torch.matmul(e, f, out=out), flop


def cuda_host() -> Host:
    """The first CUDA device.

    Raises:
        BadInput: PyTorch is missing or sees no such device.
    """
    from ridgeline.errors import BadInput

    try:
        torch = _torch()
    except ImportError:
        raise BadInput("measuring a CUDA device needs PyTorch with CUDA, which is not installed "
                       "here; see pytorch.org") from None
    if not torch.cuda.is_available():
        raise BadInput("PyTorch sees no CUDA device on this machine; measure the processor with "
                       "--device cpu")
    device = torch.cuda.get_device_properties(0)
    return Host(name=device.name, vendor="AMD" if torch.version.hip else "NVIDIA", device="cuda",
                n_cores=int(device.multi_processor_count), memory_bytes=float(device.total_memory),
                caches={"L2": float(device.L2_cache_size)},
                software=f"torch {torch.__version__}")
