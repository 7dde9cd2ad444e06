"""llama.cpp on this machine: models of random weights, its server, and the steps it takes.

Speed does not depend on the values of weights, so a random model of a real architecture stands for
every model of its shape. Needs the packages `gguf` and `xllamacpp` (development dependencies).
Times are processor time of the process, which other programs do not stretch as they do the clock.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.measure.engine.local_steps import Sample

__all__ = ["QUANTS", "Shape", "main", "request_cost", "serve", "served_apart", "stream_samples",
           "write_model"]

# Weight format -> (file type, gguf's name of the tensor type).
QUANTS = {"fp16": (1, "F16"), "q8_0": (7, "Q8_0"), "q4_0": (2, "Q4_0"), "q4_1": (3, "Q4_1"),
          "q5_0": (8, "Q5_0")}
_CHUNK = 512     # tokens of a prompt in one pass
_SPECIAL = 259   # <unk>, <s>, </s> and one token a byte


@dataclass(frozen=True)
class Shape:
    """A Llama-shaped model: widths, depth, heads and vocabulary."""

    d_model: int
    n_layers: int
    d_ff: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int

    def __str__(self) -> str:
        """Short name."""
        return f"{self.n_layers} x {self.d_model}"


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BadInput(f"measuring llama.cpp needs the package {name}: pip install {name}"
                       ) from None


def write_model(path: str | Path, shape: Shape, quant: str, *, context: int = 4096) -> Path:
    """Write a GGUF file of random weights.

    Args:
        path: the file.
        shape: of the model.
        quant: one of `QUANTS`, for every matrix.
        context: longest sequence.

    Raises:
        BadInput: an unknown quantisation, or the package gguf is missing.
    """
    import numpy as np

    if quant not in QUANTS:
        raise BadInput(f"no quantisation {quant!r} for a random model; there are: "
                       + ", ".join(QUANTS))
    gguf = _package("gguf")
    writer = gguf.GGUFWriter(str(path), "llama")
    _metadata(writer, shape, QUANTS[quant][0], context)
    kind = getattr(gguf.GGMLQuantizationType, QUANTS[quant][1])
    quantize = importlib.import_module("gguf.quants").quantize
    # One quantised stretch is repeated: values do not matter, and quantising is slow.
    noise = np.random.default_rng(0).standard_normal((256, shape.d_ff), np.float32) * 0.02
    for name, rows, columns in _matrices(shape):
        part = quantize(np.resize(noise, (min(rows, 256), columns)), kind)
        writer.add_tensor(name, np.resize(part, (rows, part.shape[1])), raw_dtype=kind)
    for name in _norms(shape):
        writer.add_tensor(name, np.ones(shape.d_model, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def _metadata(writer: Any, shape: Shape, file_type: int, context: int) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(shape.d_model)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.d_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_rope_dimension_count(shape.d_model // shape.n_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_file_type(file_type)
    words = [b"<unk>", b"<s>", b"</s>", *(f"<0x{i:02X}>".encode() for i in range(256)),
             *(f"w{i}".encode() for i in range(shape.vocab_size - _SPECIAL))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (len(words) - _SPECIAL)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _matrices(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Every matrix: name, rows, columns."""
    d, kv = shape.d_model, shape.d_model // shape.n_heads * shape.n_kv_heads
    yield "token_embd.weight", shape.vocab_size, d
    yield "output.weight", shape.vocab_size, d
    for layer in range(shape.n_layers):
        for name, rows, columns in (
                ("attn_q", d, d), ("attn_k", kv, d), ("attn_v", kv, d), ("attn_output", d, d),
                ("ffn_gate", shape.d_ff, d), ("ffn_up", shape.d_ff, d),
                ("ffn_down", d, shape.d_ff)):
            yield f"blk.{layer}.{name}.weight", rows, columns


def _norms(shape: Shape) -> list[str]:
    return ["output_norm.weight", *(f"blk.{i}.{part}_norm.weight" for i in range(shape.n_layers)
                                    for part in ("attn", "ffn"))]


@contextmanager
def serve(path: str | Path, *, slots: int = 1, context: int = 2048, threads: int = 1
          ) -> Iterator[Any]:
    """llama.cpp's server on a model, in this process; `listening_address` is its URL.

    Args:
        path: GGUF file.
        slots: sequences side by side; each has `context` tokens.
        context: of one slot.
        threads: of the processor.

    Raises:
        BadInput: the package xllamacpp is missing.
    """
    package = _package("xllamacpp")
    params = package.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = context * slots, slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers, params.port, params.verbosity = 0, 0, 0
    server = package.Server(params)
    try:
        yield server
    finally:
        del server


def request_cost(server: Any, prompt: int, output: int, batch: int, salt: int,
                 clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of so many equal requests side by side, of the processor or of another clock."""
    def ask(number: int) -> None:
        ids = [300 + (7 * i + 131 * number + 17 * salt) % 3000 for i in range(prompt)]
        server.handle_completions({"prompt": ids, "max_tokens": output, "ignore_eos": True,
                                   "temperature": 0.0, "cache_prompt": False}, lambda _: None)

    callers = [threading.Thread(target=ask, args=(n,)) for n in range(batch)]
    begun = clock()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return clock() - begun


def stream_samples(path: str | Path, *, prompts: Sequence[int] = (32, 128, 384),
                   batches: Sequence[int] = (1,), contexts: Sequence[int] = (32, 384),
                   tokens: int = 24, repeats: int = 3) -> list[Sample]:
    """Measure prompts alone and decode steps of several batches: the best of some repeats.

    Args:
        path: GGUF file.
        prompts: tokens of each prompt measured.
        batches: sequences side by side.
        contexts: tokens before the first step of each decode measured.
        tokens: decode steps behind each measurement.
        repeats: of everything.
    """
    from ridgeline.model.load import load_architecture

    architecture = load_architecture(str(path))
    longest = max([*prompts, *contexts]) + 3 * tokens + 32
    with serve(path, slots=max(batches), context=longest) as server:
        request_cost(server, 32, 4, 1, 0)
        alone = {n: min(request_cost(server, n, 1, 1, r) for r in range(repeats))
                 for n in sorted({*prompts, *contexts})}
        found = [Sample.of_prompt(architecture, n, alone[n], chunk=_CHUNK) for n in prompts]
        for batch in batches:
            # Requests side by side begin and end apart: more steps make that a smaller share.
            steps = tokens if batch == 1 else 3 * tokens
            for before in contexts:
                first = alone[before] if batch == 1 else min(
                    request_cost(server, before, 1, batch, r) for r in range(repeats))
                whole = min(request_cost(server, before, steps + 1, batch, r)
                            for r in range(repeats))
                found.append(Sample.of_decode(architecture, batch, before + (steps + 1) / 2,
                                              max(whole - first, 1e-6) / steps))
    return found


@contextmanager
def served_apart(path: str | Path, *, slots: int = 1, context: int = 2048
                 ) -> Iterator[tuple[str, Callable[[], float]]]:
    """The server in a process of its own: its URL, and its processor time so far [s].

    Raises:
        BadInput: it did not start.
    """
    command = [sys.executable, "-m", "ridgeline.measure.engine.llamacpp", str(path), str(slots),
               str(context)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
        assert child.stdout is not None
        lines = (line.strip() for line in child.stdout)
        url = next((line for line in lines if line.startswith("http://")), "")
        try:
            if not url:
                raise BadInput(f"llama.cpp's server did not start on {path}")
            yield url, lambda: _processor_time(child.pid)
        finally:
            child.kill()


def _processor_time(process: int) -> float:
    """User and system time of a process [s]."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Serve a model until standard input ends: PATH SLOTS CONTEXT."""
    path, slots, context = sys.argv[1:4]
    with serve(path, slots=int(slots), context=int(context)) as server:
        print(server.listening_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
