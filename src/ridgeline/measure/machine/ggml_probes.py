"""llama.cpp's own kernels, one matrix product or attention at a time.

The package xllamacpp is one shared library whose C interface (ggml) builds and runs a graph of any
ops. A graph of the same product with many different matrices reads so many bytes of weights
between two uses of one, as a model does; llama.cpp's own choice of memory layout is taken
("repacked" weights, where it has a kernel for them).
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.measure.machine.clock import timed
from ridgeline.measure.machine.points import Point
from ridgeline.measure.machine.probes import Job, clock_of, point_of

__all__ = ["ggml_formats", "ggml_here", "probe_ggml"]

_F32, _F16 = 0, 1
_NAMES = {"fp16": "f16", "fp32": "f32"}    # ours -> ggml's, where they differ
_HEADS, _KV_HEADS = 8, 2                   # of the attention measured
_COLD = 16e6                               # caches that attention goes through in turn [bytes]
_Handle = ctypes.c_void_p
_Long = ctypes.c_int64


class _Init(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", _Handle), ("no_alloc", ctypes.c_bool)]


_INTERFACE: dict[str, tuple[Any, ...]] = {
    "init": (_Handle, _Init), "free": (None, _Handle),
    "new_tensor_4d": (_Handle, _Handle, ctypes.c_int, *[_Long] * 4),
    "new_graph_custom": (_Handle, _Handle, ctypes.c_size_t, ctypes.c_bool),
    "build_forward_expand": (None, _Handle, _Handle),
    "mul_mat": (_Handle, *[_Handle] * 3), "add": (_Handle, *[_Handle] * 3),
    "mul": (_Handle, *[_Handle] * 3), "rms_norm": (_Handle, _Handle, _Handle, ctypes.c_float),
    "swiglu_split": (_Handle, *[_Handle] * 3),
    "permute": (_Handle, _Handle, _Handle, *[ctypes.c_int] * 4),
    "flash_attn_ext": (_Handle, *[_Handle] * 5, *[ctypes.c_float] * 3),
    "nbytes": (ctypes.c_size_t, _Handle), "type_name": (ctypes.c_char_p, ctypes.c_int),
    "quantize_chunk": (ctypes.c_size_t, ctypes.c_int, _Handle, _Handle, *[_Long] * 3, _Handle),
    "log_set": (None, _Handle, _Handle),
    "backend_cpu_init": (_Handle,), "backend_cpu_set_n_threads": (None, _Handle, ctypes.c_int),
    "backend_alloc_ctx_tensors_from_buft": (_Handle, _Handle, _Handle),
    "backend_buffer_free": (None, _Handle), "backend_dev_by_type": (_Handle, ctypes.c_int),
    "backend_dev_backend_reg": (_Handle, _Handle),
    "backend_reg_get_proc_address": (_Handle, _Handle, ctypes.c_char_p),
    "backend_dev_buffer_type": (_Handle, _Handle),
    "backend_dev_supports_op": (ctypes.c_bool, _Handle, _Handle),
    "backend_tensor_set": (None, _Handle, _Handle, ctypes.c_size_t, ctypes.c_size_t),
    "backend_graph_compute": (ctypes.c_int, _Handle, _Handle)}


def ggml_here() -> bool:
    """Whether llama.cpp's library is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


class _Ggml:
    """The library's functions by name, without their prefix, and its processor backend."""

    def __init__(self) -> None:
        library = ctypes.CDLL(importlib.import_module("xllamacpp.xllamacpp").__file__ or "")
        for name, (result, *arguments) in _INTERFACE.items():
            function = getattr(library, f"ggml_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, _Handle)(
            lambda *_: None)
        self.log_set(ctypes.cast(self.quiet, _Handle), None)
        self.backend = self.backend_cpu_init()
        self.device = self.backend_dev_by_type(0)
        self.plain = self.backend_dev_buffer_type(self.device)
        self.types = {(self.type_name(i) or b"").decode().lower(): i for i in range(40)}

    def __getattr__(self, name: str) -> Any:
        raise BadInput(f"this build of llama.cpp has no ggml_{name}")

    def kind_of(self, format: str) -> int:
        """The library's number of a weight format."""
        name = _NAMES.get(format, format)
        if name not in self.types:
            raise BadInput(f"this build of llama.cpp has no format {format}")
        return int(self.types[name])

    @functools.cached_property
    def layouts(self) -> list[Any]:
        """Where weights may lie, in llama.cpp's order of choice."""
        registry = self.backend_dev_backend_reg(self.device)
        found = self.backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
        extra: list[Any] = []
        if found:
            listed = ctypes.CFUNCTYPE(ctypes.POINTER(_Handle), _Handle)(found)(self.device)
            while listed and listed[len(extra)]:
                extra.append(listed[len(extra)])
        return [*extra, self.plain]

    @contextmanager
    def context(self, tensors: int) -> Iterator[Any]:
        """Room for the descriptions of so many tensors and one graph of them."""
        made = self.init(_Init(tensors * 1200 + 1_000_000, None, True))
        try:
            yield made
        finally:
            self.free(made)

    @contextmanager
    def placed(self, context: Any, layout: Any) -> Iterator[None]:
        """Memory for the context's tensors."""
        buffer = self.backend_alloc_ctx_tensors_from_buft(context, layout)
        if not buffer:
            raise MemoryError("no memory for the tensors of a probe")
        try:
            yield
        finally:
            self.backend_buffer_free(buffer)

    def fill(self, tensor: Any, kind: int, wide: int = 32) -> None:
        """Weights as models have them, a stretch of rows repeated.

        Not any bytes will do: some kernels look the scales of blocks up in a table, which caches
        hold for the few scales of real weights only.
        """
        data = _weights(kind, wide, self.nbytes(tensor))
        self.backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)

    def graph(self, context: Any, ends: list[Any]) -> Callable[[], object]:
        """Computing all of some tensors."""
        made = self.new_graph_custom(context, 4 * len(ends) + 64, False)
        for end in ends:
            self.build_forward_expand(made, end)
        return lambda: self.backend_graph_compute(self.backend, made)


@functools.cache
def _ggml() -> _Ggml:
    return _Ggml()


@functools.lru_cache(maxsize=4)
def _weights(kind: int, wide: int, size: int) -> Any:
    """Bytes of a matrix of random weights."""
    import numpy as np

    rows = 64
    values = (np.random.default_rng(0).standard_normal((rows, wide)) * 0.02).astype("f4")
    stretch = np.zeros(rows * wide * 4, np.uint8)
    used = _ggml().quantize_chunk(kind, values.ctypes.data, stretch.ctypes.data, 0, rows, wide,
                                  None)
    return np.resize(stretch[:used], size)


def ggml_formats() -> list[str]:
    """Formats worth measuring that this build has."""
    names = _ggml().types
    return [f for f in ("fp16", "q8_0", "q4_0", "q4_k", "q6_k") if _NAMES.get(f, f) in names]


def probe_ggml(job: Job, budget: float) -> Point:
    """Measure one job with llama.cpp's kernels.

    Args:
        job: kind "product", "attend", "move" or "launch".
        budget: seconds to spend, about.
    """
    make = {"product": _product, "attend": _attend, "move": _move, "launch": _launch}[job.kind]
    _ggml().backend_cpu_set_n_threads(_ggml().backend, job.threads)
    with make(job) as (work, amount):
        return point_of(job, amount, timed(work, budget=budget, least=3, clock=clock_of(job)),
                        library="ggml")


@contextmanager
def _product(job: Job) -> Iterator[tuple[Callable[[], object], float]]:
    """Rows times so many different square matrices of a depth as fill the working set."""
    g = _ggml()
    kind, wide = g.kind_of(job.format), job.depth
    with g.context(4) as one:
        each = g.nbytes(g.new_tensor_4d(one, kind, wide, wide, 1, 1))
    count = max(1, round(job.size / each))
    for layout in g.layouts:
        with g.context(count) as held, g.context(2 * count) as context:
            weights = [g.new_tensor_4d(held, kind, wide, wide, 1, 1) for _ in range(count)]
            with g.placed(held, layout):
                rows = g.new_tensor_4d(context, _F32, wide, job.rows, 1, 1)
                ends = [g.mul_mat(context, w, rows) for w in weights]
                if layout != g.plain and not g.backend_dev_supports_op(g.device, ends[0]):
                    continue
                for weight in weights:
                    g.fill(weight, kind, wide)
                with g.placed(context, g.plain):
                    g.fill(rows, _F32)
                    yield g.graph(context, ends), 2.0 * job.rows * count * wide * wide
                    return


@contextmanager
def _attend(job: Job) -> Iterator[tuple[Callable[[], object], float]]:
    """Heads that share keys, over 16-bit caches: one new token each, or a causal prompt.

    A model reads all its weights between two uses of a layer's cache. So single tokens attend to
    many caches in turn, more than a near cache holds.
    """
    g, tokens, width = _ggml(), int(job.size), job.depth
    new = tokens if job.format == "prefill" else 1
    each = 4.0 * width * _KV_HEADS * tokens
    count = 1 if new > 1 else max(1, min(256, round(_COLD / each)))
    with g.context(8 * count + 8) as context:
        query = g.new_tensor_4d(context, _F32, width, new, _HEADS, 1)
        mask = g.new_tensor_4d(context, _F16, tokens, new, 1, 1)
        caches = [g.new_tensor_4d(context, _F16, width, _KV_HEADS, tokens, 1)
                  for _ in range(2 * count)]
        parts = [g.permute(context, part, 0, 2, 1, 3) for part in caches]
        ends = [g.flash_attn_ext(context, query, k, v, mask, 1 / math.sqrt(width), 0.0, 0.0)
                for k, v in zip(parts[::2], parts[1::2], strict=True)]
        with g.placed(context, g.plain):
            g.fill(query, _F32)
            for part in caches:
                g.fill(part, _F16)
            seen = _causal(g, mask, new, tokens)
            yield g.graph(context, ends), 4.0 * width * _HEADS * seen * count


def _causal(g: Any, mask: Any, new: int, tokens: int) -> float:
    """Hide what comes later; how many pairs remain."""
    import numpy as np

    later = np.triu(np.ones((new, tokens), bool), tokens - new + 1)
    data = np.where(later, -np.inf, 0.0).astype(np.float16)
    g.backend_tensor_set(mask, data.ctypes.data, 0, data.nbytes)
    return float((~later).sum())


@contextmanager
def _move(job: Job) -> Iterator[tuple[Callable[[], object], float]]:
    """What a layer does beside products and attention: two norms with their scales, two sums, a
    gated activation. Bytes as the ops of a step count them: 16-bit numbers read and written once.
    """
    g, width = _ggml(), job.depth
    wide = 2.75 * width
    with g.context(64) as context:
        x, y, scale = (g.new_tensor_4d(context, _F32, width, n, 1, 1) for n in (
            job.rows, job.rows, 1))
        gate, up = (g.new_tensor_4d(context, _F32, int(wide), job.rows, 1, 1) for _ in range(2))
        ends = [g.swiglu_split(context, gate, up)]
        for _ in range(2):
            y = g.add(context, y, x)
            ends.append(g.mul(context, g.rms_norm(context, y, 1e-5), scale))
        with g.placed(context, g.plain):
            for tensor in (x, scale, gate, up):
                g.fill(tensor, _F32)
            yield g.graph(context, ends), 2.0 * job.rows * (4 * width + 3 * wide)


@contextmanager
def _launch(job: Job) -> Iterator[tuple[Callable[[], object], float]]:
    """One product of next to nothing among many: what each op of a graph costs."""
    g, count = _ggml(), 400
    with g.context(3 * count) as context:
        weight = g.new_tensor_4d(context, _F16, 32, 1, 1, 1)
        rows = g.new_tensor_4d(context, _F32, 32, 1, 1, 1)
        ends = [g.mul_mat(context, weight, rows) for _ in range(count)]
        with g.placed(context, g.plain):
            work = g.graph(context, ends)

            def once() -> None:
                work()

            yield once, -float(count)
