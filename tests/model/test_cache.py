"""What one token and one sequence keep, with the arithmetic spelled out."""

import numpy as np
import pytest
import sympy

from ridgeline.errors import BadInput
from ridgeline.model.huggingface import architecture_from_config
from ridgeline.model.load import load_architecture

K = 1024


@pytest.mark.parametrize(("name", "expected"), [
    ("Meta-Llama-3-70B", 80 * 2 * 8 * 128 * 2),            # 327,680
    ("Meta-Llama-3-8B", 32 * 2 * 8 * 128 * 2),             # 131,072
    ("Qwen2.5-7B", 28 * 2 * 4 * 128 * 2),                  # 57,344
    ("DeepSeek-V3", 61 * (512 + 64) * 2),                  # 70,272: one latent, no factor 2
    ("DeepSeek-V3.2", 61 * ((512 + 64) * 2 + 128 + 4)),    # indexer keys: 128 bytes FP8, a scale
    ("huggyllama/llama-7b", 32 * 2 * 32 * 128 * 2),        # all heads have keys and values
    ("falcon-7b-instruct", 32 * 2 * 1 * 64 * 2),           # one KV head for 71 query heads
    ("gpt-oss-120b", 36 * 2 * 8 * 64 * 2),                 # sinks are weights, not cache
    ("Qwen3-Next-80B-A3B-Instruct", 12 * 2 * 2 * 256 * 2),  # 12 of 48 layers attend
    ("Kimi-K3", 24 * (512 + 64) * 2),                      # 24 of 93 layers are latent attention
    ("AI21-Jamba-1.5-Mini", 4 * 2 * 8 * 128 * 2),          # 1 layer in 8
    ("MiniMax-M1-80k", 10 * 2 * 8 * 128 * 2),
    ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 6 * 2 * 2 * 128 * 2),
    ("mamba-2.8b-hf", 0),
    ("bge-large-en", 0),                                   # an encoder keeps nothing
])
def test_bytes_a_token(name, expected):
    assert load_architecture(name).kv_bytes_per_token() == expected


def test_windowed_layers_stop_growing():
    arch = load_architecture("gemma-3-27b-it")
    layer = 2 * 16 * 128 * 2
    at = 131_072
    # 62 layers, every sixth sees everything: 10 of them; 52 keep 1,024 tokens
    assert arch.cache_bytes(at) == layer * (10 * at + 52 * 1024) == pytest.approx(11.2e9, rel=5e-3)
    assert arch.n_layers * layer * at == pytest.approx(66.6e9, rel=1e-3)
    assert arch.cache_bytes(1024) == 62 * layer * 1024


def test_alternating_windows():
    arch = load_architecture("gpt-oss-20b")
    layer = 2 * 8 * 64 * 2
    assert arch.cache_bytes(8 * K) == layer * (12 * 8 * K + 12 * 128)


def test_chunks():
    arch = load_architecture("Llama-4-Scout-17B-16E-Instruct")
    layer = 2 * 8 * 128 * 2
    assert arch.cache_bytes(64 * K) == layer * (12 * 64 * K + 36 * 8192)


def test_every_layer_windowed():
    arch = load_architecture("Mistral-7B-v0.1")
    assert arch.cache_bytes(16 * K) == arch.cache_bytes(4 * K) == 32 * 2 * 8 * 128 * 2 * 4 * K


def test_compressed_attention():
    arch = load_architecture("DeepSeek-V4-Flash")
    # 43 layers: 2 keep their window of 128 alone, 21 also one entry in 4 with an indexer key,
    # 20 one entry in 128; one shared head of 512 serves as key and value.
    at = 128 * K
    entry = 512 * 2
    assert arch.cache_bytes(at) == (43 * 128 * entry + 21 * at / 4 * (entry + 128 + 4)
                                    + 20 * at / 128 * entry)


def test_global_heads_of_their_own():
    arch = load_architecture("gemma-4-31B-it")
    # 10 global layers of 4 heads of 512, 50 local ones of 16 heads of 256 and 1,024 tokens
    at = 32 * K
    assert arch.cache_bytes(at) == 2 * 2 * (10 * 4 * 512 * at + 50 * 16 * 256 * 1024)


def test_shared_caches_are_kept_once():
    config = {"model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 128,
              "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1,
              "head_dim": 16, "global_head_dim": 16, "num_kv_shared_layers": 2,
              "sliding_window": 8, "vocab_size": 50, "max_position_embeddings": 128,
              "layer_types": ["sliding_attention", "full_attention"] * 2}
    arch = architecture_from_config(config)
    assert arch.cache_bytes(100) == 2 * 16 * 2 * (8 + 100)


def test_wide_keys_and_narrow_values():
    config = {"model_type": "mimo_v2_flash", "hidden_size": 64, "intermediate_size": 128,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "head_dim": 24, "v_head_dim": 16, "swa_num_key_value_heads": 4, "vocab_size": 50,
              "sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"]}
    arch = architecture_from_config(config)
    assert arch.cache_bytes(100) == 2 * (2 * (24 + 16) * 100 + 4 * (24 + 16) * 8)


def test_mamba_state():
    arch = load_architecture("mamba-2.8b-hf")
    # 64 layers x 5,120 channels x (16 state values + 3 convolution inputs) x 2 bytes
    assert arch.state_bytes() == 64 * 5120 * (16 + 3) * 2 == pytest.approx(12.45e6, rel=1e-3)
    assert arch.state_bytes(state_bits=32) == 64 * 5120 * (16 * 4 + 3 * 2)


@pytest.mark.parametrize(("name", "expected"), [
    # 36 delta layers: 32 heads x 128 x 128, and 3 inputs of 2 x 2,048 + 4,096 channels
    ("Qwen3-Next-80B-A3B-Instruct", 36 * (32 * 128 * 128 + 3 * 8192) * 2),
    # 69 delta layers of 96 heads
    ("Kimi-K3", 69 * (96 * 128 * 128 + 3 * 3 * 96 * 128) * 2),
    # 64 layers: 8,192 x 128 and 3 inputs of 8,192 + 2 x 8 x 128 channels
    ("Mamba-Codestral-7B-v0.1", 64 * (8192 * 128 + 3 * (8192 + 2048)) * 2),
    ("MiniMax-M1-80k", 70 * 64 * 128 * 128 * 2),
    # three vectors a layer, and the token before for each of two mixings
    ("rwkv-4-7b-pile", 32 * 5 * 4096 * 2),
    ("Meta-Llama-3-8B", 0),
])
def test_state_of_a_sequence(name, expected):
    assert load_architecture(name).state_bytes() == expected


def test_formats_scale_the_cache_but_not_indexer_keys():
    llama, sparse = load_architecture("Meta-Llama-3-8B"), load_architecture("DeepSeek-V3.2")
    assert llama.kv_bytes_per_token(kv_bits=8) == 65_536
    assert sparse.kv_bytes_per_token(kv_bits=8) == 61 * (576 + 132)


def test_numbers_arrays_and_symbols_agree():
    arch = load_architecture("gemma-3-27b-it")
    lengths = np.array([100, 1024, 5000, 131_072])
    each = [arch.cache_bytes(int(n)) for n in lengths]
    assert np.array_equal(arch.cache_bytes(lengths), each)
    n = sympy.Symbol("n", positive=True)
    assert [arch.cache_bytes(n).subs(n, int(v)) for v in lengths] == each


def test_empty_context_is_refused():
    with pytest.raises(BadInput, match="below one token"):
        load_architecture("Meta-Llama-3-8B").kv_bytes_per_token(context_length=0)


def test_state_of_rwkv_7():
    config = {"model_type": "rwkv7", "hidden_size": 2048, "num_hidden_layers": 24,
              "head_dim": 64, "vocab_size": 65_536, "intermediate_size": 8192}
    arch = architecture_from_config(config)
    # a 64 x 64 matrix for each of 32 heads; the token before for each of two mixings
    assert arch.state_bytes() == 24 * (32 * 64 * 64 + 2 * 2048) * 2
    assert arch.kv_bytes_per_token() == 0


def test_state_of_xlstm():
    config = {"model_type": "xlstm", "hidden_size": 4096, "num_blocks": 32, "num_heads": 8,
              "vocab_size": 50_304}
    # matrix 256 x 512, normaliser 256 and running maximum for each of 8 heads
    assert architecture_from_config(config).state_bytes() == 32 * 8 * (256 * 512 + 256 + 1) * 2


def test_block_sparse_attention_keeps_index_keys():
    config = {"model_type": "minimax_m3_vl_text", "hidden_size": 64, "intermediate_size": 32,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "head_dim": 16, "vocab_size": 50, "num_local_experts": 4, "num_experts_per_tok": 2,
              "index_n_heads": 2, "index_head_dim": 16,
              "layer_types": ["full_attention", "minimax_m3_sparse"]}
    # two layers of 2 heads x 16, and one 16-bit indexer key of 16 in the second
    assert architecture_from_config(config).kv_bytes_per_token() == 2 * 2 * 2 * 16 * 2 + 16 * 2


def test_prediction_layers_and_heads_by_layer():
    config = {"model_type": "laguna", "hidden_size": 64, "intermediate_size": 128,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "num_attention_heads_per_layer": [4, 8], "head_dim": 16, "vocab_size": 50,
              "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
              "sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"],
              "mlp_layer_types": ["dense", "sparse"]}
    arch = architecture_from_config(config)
    assert [b.mixer.n_heads for b, _ in arch.blocks] == [4, 8]
    assert arch.cache_bytes(100) == 2 * 2 * 16 * 2 * (100 + 8)
