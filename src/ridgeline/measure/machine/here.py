"""Measuring where this runs: what to measure, and the whole of it in one call."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.measure.machine.points import Host, Machine
    from ridgeline.measure.machine.sweep import Batch

__all__ = ["measure_here", "plan_here"]

_QUICK_BUDGET, _BUDGET = 0.05, 0.15   # of a probe [s]


def plan_here(device: str = "cpu", threads: int | None = None, *, quick: bool = False,
              kernels: bool = True) -> tuple[Host, list[Batch]]:
    """This machine, and what to measure on it.

    Args:
        device: "cpu" or "cuda".
        threads: of the processor at most; None: every core this process may use.
        quick: fewer sizes.
        kernels: those of the engines installed here, too.

    Raises:
        BadInput: another device, a thread count the machine does not have, CUDA without PyTorch.
    """
    from ridgeline.measure.machine.host import cpu_host, usable_cores
    from ridgeline.measure.machine.sweep import plan_cpu, plan_cuda

    if device == "cuda":
        from ridgeline.measure.machine.torch_probes import cuda_host, torch_formats

        if threads is not None:
            raise BadInput("--threads is of the processor; leave it out with --device cuda")
        return cuda_host(), plan_cuda(cuda_host(), torch_formats("cuda"), quick)
    if device != "cpu":
        raise BadInput(f"no device {device!r} to measure; it is cpu or cuda")
    most = usable_cores()
    if threads is not None and not 1 <= threads <= most:
        raise BadInput(f"--threads must be from 1 to the {most} cores this process may use, not "
                       f"{threads}")
    formats = _torch_formats()
    import numpy

    host = cpu_host(f"NumPy {numpy.__version__}" + (" and PyTorch" if formats else ""))
    batches = plan_cpu(host, threads=threads or most, formats=formats, quick=quick)
    return host, batches + (_kernels_here(host, threads or most, quick) if kernels else [])


def _kernels_here(host: Host, threads: int, quick: bool) -> list[Batch]:
    """Kernels of llama.cpp and of PyTorch, where they are installed."""
    from ridgeline.measure.machine.engine_probes import costs_here
    from ridgeline.measure.machine.ggml_probes import ggml_formats, ggml_here
    from ridgeline.measure.machine.sweep import plan_kernels

    found = []
    if ggml_here():
        formats = ["fp16", "q8_0", "q4_0"] if quick else ggml_formats()
        found.append(plan_kernels(host, "ggml", formats, threads=threads, quick=quick,
                                  costs=costs_here()))
    if importlib.util.find_spec("torch") is not None:
        found.append(plan_kernels(host, "torch", ["fp32", "bf16"], threads=threads, quick=quick,
                                  costs=False))
    return found


def measure_here(device: str = "cpu", threads: int | None = None, *, quick: bool = False,
                 kernels: bool = True) -> Machine:
    """Measure this machine. Arguments and errors as `plan_here`."""
    from ridgeline.measure.machine.sweep import measure_machine

    host, batches = plan_here(device, threads, quick=quick, kernels=kernels)
    return measure_machine(host, batches, budget=_QUICK_BUDGET if quick else _BUDGET)


def _torch_formats() -> list[str]:
    """16- and 8-bit formats where PyTorch is installed, none where it is not."""
    if importlib.util.find_spec("torch") is None:
        return []
    from ridgeline.measure.machine.torch_probes import torch_formats

    return [f for f in torch_formats("cpu") if f != "fp32"]
