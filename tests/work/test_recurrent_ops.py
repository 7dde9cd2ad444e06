"""Ops of the mixers with a small constant state, by hand."""

import pytest

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.model.huggingface import architecture_from_config
from ridgeline.work.step import decode_step, step_ops

BF16 = Format("bf16", 2.0, "bf16")
FORMATS = Formats(BF16, BF16, BF16, BF16, BF16, Format("fp32", 4.0, "fp32"))
TINY = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50,
        "intermediate_size": 128, "num_hidden_layers": 1}


def flops(config, tokens=3):
    ops = step_ops(architecture_from_config(config), Deployment(), FORMATS,
                   decode_step(sequences=float(tokens), context=10.0))
    return {op.name: float(op.repeats * op.flop) for op in ops}


def test_short_convolution():
    found = flops({**TINY, "model_type": "lfm2", "layer_types": ["conv"], "conv_L_cache": 3})
    assert found["in_proj"] == 2 * 3 * 64 * 192
    assert found["out_proj"] == 2 * 3 * 64 * 64
    assert found["decode_conv1d"] == 2 * 3 * 64 * 3


def test_gated_recurrence():
    found = flops({**TINY, "model_type": "recurrent_gemma", "lru_width": 64,
                   "block_types": ["recurrent"]})
    assert found["in_proj"] == 2 * 3 * 64 * 128
    assert found["gates"] == 2 * 3 * 16 * 128          # two gates, each in 4 blocks of 16 x 16
    assert found["out_proj"] == 2 * 3 * 64 * 64


def test_a_shared_indexer_scores_nothing():
    config = {**TINY, "model_type": "glm_moe_dsa", "num_hidden_layers": 2, "num_attention_heads": 4,
              "q_lora_rank": 32, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
              "qk_rope_head_dim": 8, "v_head_dim": 16, "index_topk": 4, "index_n_heads": 2,
              "index_head_dim": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
              "moe_intermediate_size": 32, "first_k_dense_replace": 2}
    both = flops({**config, "indexer_types": ["full", "full"]})
    one = flops({**config, "indexer_types": ["full", "shared"]})
    scored = [name for name in both if "index" in name]
    assert scored
    for name in scored:
        assert one[name] == pytest.approx(both[name] / 2)
