"""The same probes through PyTorch: 16-bit and 8-bit matrix rates of a CPU, everything of CUDA."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ridgeline.measure.machine.clock import timed
from ridgeline.measure.machine.points import Host, Point
from ridgeline.measure.machine.probes import Job, clock_of, point_of

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


def probe_torch(job: Job, budget: float, device: str, kernels: bool = False) -> Point:
    """Measure one job with PyTorch on a device.

    Args:
        job, budget: as `probes.probe_numpy` has them.
        device: "cpu" or "cuda".
        kernels: the job is one of an engine's kernels on the processor.
    """
    torch = _torch()
    if device == "cpu":
        torch.set_num_threads(job.threads)
    with torch.inference_mode():
        if kernels:
            make = {"product": _product, "attend": _attend, "move": _move, "launch": _call}
            work, amount = make[job.kind](job)
        elif job.kind == "matmul":
            work, amount = _matmul(job.format, job.size, device)
        else:
            work, amount = {"read": _read, "copy": _copy, "launch": _launch}[job.kind](
                job.size, device)
        clock = clock_of(job) if device == "cpu" else time.perf_counter
        taken = timed(work, budget=budget, wait=lambda: _wait(device), clock=clock)
        return point_of(job, amount, taken, "torch" if kernels else "")


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


def _product(job: Job) -> tuple[Callable[[], object], float]:
    """Rows times so many different square matrices of a depth as fill the working set."""
    torch, dtype, wide = _torch(), _dtype(job.format), job.depth
    count = max(1, round(job.size / (wide * wide * dtype.itemsize)))
    weights = [torch.randn(wide, wide).to(dtype) for _ in range(count)]
    rows, linear = torch.randn(job.rows, wide).to(dtype), torch.nn.functional.linear
    return lambda: [linear(rows, w) for w in weights], 2.0 * job.rows * count * wide * wide


def _dtype(format: str) -> Any:
    torch = _torch()
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(format, torch.float32)


_HEADS = 8            # of the attention measured
_COLD = 16e6          # caches that single tokens attend to in turn [bytes]


def _attend(job: Job) -> tuple[Callable[[], object], float]:
    """A causal prompt, or single tokens that attend to many caches in turn."""
    torch, tokens, width = _torch(), int(job.size), job.depth
    attention = torch.nn.functional.scaled_dot_product_attention
    if job.format == "prefill":
        q = torch.randn(1, _HEADS, tokens, width)
        return (lambda: attention(q, q, q, is_causal=True),
                4.0 * width * _HEADS * tokens * (tokens + 1) / 2)
    count = max(1, min(64, round(_COLD / (8.0 * _HEADS * width * tokens))))
    one = torch.randn(1, _HEADS, 1, width)
    caches = [(torch.randn(1, _HEADS, tokens, width), torch.randn(1, _HEADS, tokens, width))
              for _ in range(count)]
    return (lambda: [attention(one, k, v) for k, v in caches],
            4.0 * width * _HEADS * tokens * count)


def _move(job: Job) -> tuple[Callable[[], object], float]:
    """Two norms, two sums and a gated activation; bytes as `ggml_probes` counts them."""
    torch, wide = _torch(), int(2.75 * job.depth)
    x, scale = torch.randn(job.rows, job.depth), torch.ones(job.depth)
    gate, up = torch.randn(job.rows, wide), torch.randn(job.rows, wide)
    functions = torch.nn.functional

    def work() -> object:
        y = functions.rms_norm(x + x, (job.depth,), scale)
        return functions.rms_norm(y + x, (job.depth,), scale), functions.silu(gate) * up

    return work, 2.0 * job.rows * (4 * job.depth + 3 * wide)


def _call(job: Job) -> tuple[Callable[[], object], float]:
    """A product of next to nothing: all of its time is the call."""
    torch = _torch()
    rows, weight, linear = torch.ones(1, 8), torch.ones(8, 8), torch.nn.functional.linear
    return lambda: linear(rows, weight), 0.0


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
