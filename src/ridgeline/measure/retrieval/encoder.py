"""A BERT-shaped encoder executed with NumPy: real weights from a safetensors file, or random ones.

It exists to be measured: the same ops as any engine runs, on one thread, nothing skipped.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["EncoderShape", "NumpyEncoder", "load_encoder", "measure_encoder", "random_encoder"]

_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
_LEAST_SECONDS = 0.1
# Beyond these an exponential is zero to fp32's last digit; its subnormal results would be
# computed many times more slowly.
_FLOOR, _CEILING = -60.0, 6.0


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of a BERT-shaped encoder."""

    layers: int
    width: int
    heads: int
    d_ff: int
    vocab: int = 30522
    positions: int = 512


@dataclass(frozen=True)
class NumpyEncoder:
    """Weights by their published names and the shape they have."""

    shape: EncoderShape
    weights: dict[str, Array]

    def __call__(self, tokens: Array) -> Array:
        """Sentence vectors: mean of the last layer's tokens, of length one.

        Args:
            tokens: token ids, shape (texts, length).

        Returns:
            float32 of shape (texts, width).
        """
        import numpy as np

        w, length = self.weights, tokens.shape[1]
        x = (w["embeddings.word_embeddings.weight"][tokens]
             + w["embeddings.position_embeddings.weight"][:length]
             + w["embeddings.token_type_embeddings.weight"][0])
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self.shape.layers):
            x = self._layer(x, f"encoder.layer.{layer}.")
        pooled = x.mean(axis=1)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))

    def _layer(self, x: Array, at: str) -> Array:
        attended = self._linear(self._attention(x, at), at + "attention.output.dense")
        x = self._norm(attended + x, at + "attention.output.LayerNorm")
        inner = _gelu(self._linear(x, at + "intermediate.dense"))
        return self._norm(self._linear(inner, at + "output.dense") + x, at + "output.LayerNorm")

    def _attention(self, x: Array, at: str) -> Array:
        texts, length, width = x.shape
        heads, head = self.shape.heads, self.shape.width // self.shape.heads
        q, k, v = (self._linear(x, f"{at}attention.self.{name}")
                   .reshape(texts, length, heads, head).transpose(0, 2, 1, 3)
                   for name in ("query", "key", "value"))
        scores = _softmax((q @ k.transpose(0, 1, 3, 2)) * (1.0 / math.sqrt(head)))
        mixed: Array = (scores @ v).transpose(0, 2, 1, 3).reshape(texts, length, width)
        return mixed

    def _linear(self, x: Array, at: str) -> Array:
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[at + ".weight"].T
        flat += self.weights[at + ".bias"]
        made: Array = flat.reshape(*x.shape[:-1], -1)
        return made

    def _norm(self, x: Array, at: str) -> Array:
        import numpy as np

        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-12)
        x *= self.weights[at + ".weight"]
        x += self.weights[at + ".bias"]
        return x


def _softmax(scores: Array) -> Array:
    import numpy as np

    scores -= scores.max(axis=-1, keepdims=True)
    np.maximum(scores, _FLOOR, out=scores)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _gelu(x: Array) -> Array:
    """x * Phi(x) with the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    import numpy as np

    z = np.minimum(np.abs(x) * np.float32(math.sqrt(0.5)), _CEILING)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = np.full_like(t, 1.061405429)
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly *= t
        poly += np.float32(c)
    erf = 1 - poly * t * np.exp(-z * z)
    out: Array = 0.5 * x * (1 + np.copysign(erf, x))
    return out


def random_encoder(shape: EncoderShape, seed: int = 0) -> NumpyEncoder:
    """An encoder of a shape with random weights: as fast as a trained one."""
    import numpy as np

    draws = np.random.default_rng(seed)

    def matrix(*size: int) -> Array:
        made: Array = draws.standard_normal(size, dtype=np.float32) * np.float32(0.02)
        return made

    weights: dict[str, Array] = {
        "embeddings.word_embeddings.weight": matrix(shape.vocab, shape.width),
        "embeddings.position_embeddings.weight": matrix(shape.positions, shape.width),
        "embeddings.token_type_embeddings.weight": matrix(2, shape.width)}
    linear = {"attention.self.query": (shape.width, shape.width),
              "attention.self.key": (shape.width, shape.width),
              "attention.self.value": (shape.width, shape.width),
              "attention.output.dense": (shape.width, shape.width),
              "intermediate.dense": (shape.d_ff, shape.width),
              "output.dense": (shape.width, shape.d_ff)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(shape.layers):
        at = f"encoder.layer.{layer}."
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
        for name, (rows, columns) in linear.items():
            weights[f"{at}{name}.weight"] = matrix(rows, columns)
            weights[f"{at}{name}.bias"] = matrix(rows)
    for name in norms:
        weights[name + ".weight"] = np.ones(shape.width, np.float32)
        weights[name + ".bias"] = np.zeros(shape.width, np.float32)
    return NumpyEncoder(shape, weights)


def load_encoder(folder: str | Path) -> NumpyEncoder:
    """Read a BERT checkpoint: a folder with config.json and model.safetensors.

    Raises:
        BadInput: a file is missing, unreadable, or not of a BERT-shaped encoder.
    """
    place = Path(folder)
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        weights = _read_safetensors(place / "model.safetensors")
        shape = EncoderShape(config["num_hidden_layers"], config["hidden_size"],
                             config["num_attention_heads"], config["intermediate_size"],
                             config["vocab_size"], config["max_position_embeddings"])
    except OSError as error:
        raise BadInput(f"cannot read the encoder in {folder}: {error.strerror}: it needs "
                       "config.json and model.safetensors") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{folder} holds no BERT encoder: {error!r}") from error
    weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    needed = random_names(shape)
    if missing := sorted(needed - set(weights)):
        raise BadInput(f"{folder} is not a BERT encoder: it lacks {missing[0]}")
    return NumpyEncoder(shape, weights)


def random_names(shape: EncoderShape) -> set[str]:
    """Names of the weights that an encoder of a shape must have."""
    tiny = EncoderShape(shape.layers, 1, 1, 1, 1, 1)
    return set(random_encoder(tiny).weights)


def _read_safetensors(path: Path) -> dict[str, Array]:
    """Tensors of a file: 8 bytes of header length, a JSON header, then the data."""
    import numpy as np

    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    out: dict[str, Array] = {}
    for name, item in header.items():
        if name == "__metadata__" or item["dtype"] not in _DTYPES:
            continue
        start, stop = item["data_offsets"]
        flat = np.frombuffer(raw, _DTYPES[item["dtype"]], offset=8 + size + start,
                             count=(stop - start) // int(_DTYPES[item["dtype"]][-1]))
        out[name] = flat.reshape(item["shape"]).astype(np.float32)
    return out


def measure_encoder(encoder: NumpyEncoder, *, texts: int, tokens: int, repeats: int = 5
                    ) -> dict[str, Any]:
    """Time the encoder on random token ids: least thread seconds of a pass.

    Args:
        encoder: what to run.
        texts: texts in one pass.
        tokens: tokens of each text.
        repeats: passes at least; more when they are short.
    """
    import numpy as np

    shape = encoder.shape
    ids = np.random.default_rng(0).integers(0, shape.vocab, (texts, tokens))
    best, spent, done = math.inf, 0.0, 0
    while done < repeats or (spent < _LEAST_SECONDS and done < 50):
        begin = time.thread_time()
        encoder(ids)
        seconds = time.thread_time() - begin
        best, spent, done = min(best, seconds), spent + seconds, done + 1
    return {"layers": shape.layers, "width": shape.width, "heads": shape.heads,
            "d_ff": shape.d_ff, "texts": texts, "tokens": tokens, "pass_s": best}
