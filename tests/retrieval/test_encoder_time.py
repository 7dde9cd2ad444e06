"""Encoder passes on a CPU thread: the same ops as on any machine."""

import pytest

from ridgeline.model.load import load_architecture
from ridgeline.retrieval.cpu_time import shipped_constants
from ridgeline.retrieval.encoder_time import encoder_counts, encoder_pass, encoder_seconds

C = shipped_constants()
MINILM = load_architecture("all-MiniLM-L6-v2")


def seconds(texts, tokens):
    return encoder_seconds(encoder_counts(MINILM, texts, tokens, C.l3_bytes), C.encoder)


def test_flop_are_those_of_the_products():
    counts = encoder_counts(MINILM, 8, 128, C.l3_bytes)
    tokens, d = 8 * 128, 384
    assert counts["flop"] == pytest.approx(6 * 2 * tokens * (4 * d * d + 2 * d * 1536))
    assert counts["scores"] == pytest.approx(6 * 8 * 12 * 128**2)
    assert sum(float(op.repeats * op.flop) for op in encoder_pass(MINILM, 8, 128)
               if op.kind == "matmul") == pytest.approx(counts["flop"])


def test_more_work_takes_longer():
    assert seconds(8, 128) > seconds(1, 128) > seconds(1, 16)
    assert seconds(1, 512) > 4 * seconds(1, 128) * 0.9
    # Never faster than the products alone at the fitted rate.
    flop = encoder_counts(MINILM, 8, 128, C.l3_bytes)["flop"]
    assert seconds(8, 128) >= flop * C.encoder["flop"]


def test_a_large_cache_spares_memory():
    small, large = (encoder_counts(MINILM, 32, 512, cache) for cache in (2.0**20, 2.0**40))
    assert small["spilled_scores"] > 0 and "spilled_scores" not in large
