"""GGUF files of many architectures: every parameter of the file is one of the architecture."""

import gguf
import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.model.gguf import architecture_from_gguf, read_gguf

D, V = 64, 96   # width and vocabulary of every file


def attention(q=64, kv=32, bias=(), norm=0, out=None, gate=1):
    """Tensors of one attention: rows x columns as the package writes them."""
    shapes = {"attn_q.weight": (q * gate, D), "attn_k.weight": (kv, D), "attn_v.weight": (kv, D),
              "attn_output.weight": (D, out or q)}
    shapes |= {f"attn_{b}.bias": ({"q": q, "k": kv, "v": kv, "output": D}[b],) for b in bias}
    return shapes | ({"attn_q_norm.weight": (norm,), "attn_k_norm.weight": (norm,)} if norm else {})


def dense(ff=128):
    return {"ffn_gate.weight": (ff, D), "ffn_up.weight": (ff, D), "ffn_down.weight": (D, ff)}


def experts(n=4, ff=32):
    return {"ffn_gate_inp.weight": (n, D), "ffn_gate_exps.weight": (n, ff, D),
            "ffn_up_exps.weight": (n, ff, D), "ffn_down_exps.weight": (n, D, ff)}


def shared(ff=32):
    return {"ffn_gate_shexp.weight": (ff, D), "ffn_up_shexp.weight": (ff, D),
            "ffn_down_shexp.weight": (D, ff)}


NORMS = {"attn_norm.weight": (D,), "ffn_norm.weight": (D,)}
FOUR = NORMS | {"post_attention_norm.weight": (D,), "post_ffw_norm.weight": (D,)}
# 8 heads of 8 channels, 2 groups, state 16: in = 2 x 64 + 2 x 2 x 16 + 8
MAMBA2 = {"ssm_in.weight": (200, D), "ssm_conv1d.weight": (128, 4), "ssm_conv1d.bias": (128,),
          "ssm_dt.bias": (8,), "ssm_a": (8, 1), "ssm_d": (8, 1), "ssm_out.weight": (D, 64)}
SSM2 = {"ssm.conv_kernel": 4, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.group_count": 2,
        "ssm.time_step_rank": 8}
HEADS = {"attention.head_count": 4, "attention.head_count_kv": 2, "feed_forward_length": 128}
MOE = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32}
DELTA = {"attn_qkv.weight": (128, D), "attn_gate.weight": (64, D), "ssm_ba.weight": (8, D),
         "ssm_conv1d.weight": (128, 4), "ssm_dt.bias": (4,), "ssm_a": (4,),
         "ssm_norm.weight": (16,), "ssm_out.weight": (D, 64)}

# name: (metadata, tensors of each layer, tied)
FILES = {
    "llama": (HEADS, [NORMS | attention() | dense()] * 2, False),
    "qwen2": (HEADS, [NORMS | attention(bias="qkv") | dense()] * 2, True),
    "qwen3": (HEADS | {"attention.key_length": 16},
              [NORMS | attention(norm=16) | dense()] * 2, True),
    "qwen3moe": (HEADS | MOE | {"attention.key_length": 16},
                 [NORMS | attention(norm=16) | experts()] * 2, False),
    "gemma2": (HEADS | {"attention.key_length": 16, "attention.sliding_window": 8},
               [FOUR | attention() | dense()] * 2, True),
    "gemma3": (HEADS | {"attention.key_length": 16, "attention.sliding_window": 8},
               [FOUR | attention(norm=16) | dense()] * 6, True),
    "glm4": (HEADS, [FOUR | attention(bias="qkv") | dense()] * 2, False),
    "phi3": (HEADS, [NORMS | {"attn_qkv.weight": (128, D), "attn_output.weight": (D, 64),
                              "ffn_up.weight": (256, D), "ffn_down.weight": (D, 128)}] * 2, False),
    "gpt-oss": (HEADS | MOE | {"attention.key_length": 16, "attention.sliding_window": 8},
                [NORMS | attention(bias=("q", "k", "v", "output")) | experts()
                 | {"attn_sinks.weight": (4,), "ffn_gate_inp.bias": (4,),
                    "ffn_gate_exps.bias": (4, 32), "ffn_up_exps.bias": (4, 32),
                    "ffn_down_exps.bias": (4, D)}] * 2, False),
    "glm4moe": (HEADS | MOE | {"leading_dense_block_count": 1, "expert_shared_count": 1,
                               "attention.key_length": 16},
                [NORMS | attention(bias="qkv", norm=16) | dense(),
                 NORMS | attention(bias="qkv", norm=16) | experts() | shared()
                 | {"exp_probs_b.bias": (4,)}], False),
    "deepseek2": (HEADS | MOE | {
        "leading_dense_block_count": 1, "expert_shared_count": 1, "attention.q_lora_rank": 24,
        "attention.kv_lora_rank": 16, "rope.dimension_count": 8, "attention.key_length": 24,
        "attention.key_length_mla": 24, "attention.value_length_mla": 16},
        [NORMS | mla | ffn for mla, ffn in [({
            "attn_q_a.weight": (24, D), "attn_q_a_norm.weight": (24,),
            "attn_q_b.weight": (96, 24), "attn_kv_a_mqa.weight": (24, D),
            "attn_kv_a_norm.weight": (16,), "attn_k_b.weight": (4, 16, 16),
            "attn_v_b.weight": (4, 16, 16), "attn_output.weight": (D, 64)}, f)
            for f in (dense(), experts() | shared() | {"exp_probs_b.bias": (4,)})]], False),
    "mamba": ({"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16,
               "ssm.time_step_rank": 4},
              [{"attn_norm.weight": (D,), "ssm_in.weight": (256, D), "ssm_conv1d.weight": (128, 4),
                "ssm_conv1d.bias": (128,), "ssm_x.weight": (36, 128), "ssm_dt.weight": (128, 4),
                "ssm_dt.bias": (128,), "ssm_a": (128, 16), "ssm_d": (128,),
                "ssm_out.weight": (D, 128)}] * 2, True),
    "mamba2": (SSM2, [{"attn_norm.weight": (D,), "ssm_norm.weight": (2, 32)} | MAMBA2] * 2, True),
    "falcon-h1": (HEADS | SSM2, [NORMS | attention() | dense() | MAMBA2] * 2, False),
    "granitehybrid": (HEADS | SSM2 | {"attention.head_count_kv": [0, 2]},
                      [NORMS | MAMBA2 | dense() | {"ssm_norm.weight": (2, 32)},
                       NORMS | attention() | dense()], True),
    "lfm2": (HEADS | {"attention.head_count_kv": [0, 2], "shortconv.l_cache": 3},
             [NORMS | dense() | {"shortconv.in_proj.weight": (192, D),
                                 "shortconv.conv.weight": (D, 3),
                                 "shortconv.out_proj.weight": (D, D)},
              NORMS | attention(norm=16) | dense()], True),
    "nemotron_h": ({"attention.head_count": 4, "attention.head_count_kv": [0, 2, 0],
                    "feed_forward_length": [0, 0, 128], "attention.key_length": 16} | SSM2,
                   [{"attn_norm.weight": (D,), "ssm_norm.weight": (2, 32)} | MAMBA2,
                    {"attn_norm.weight": (D,)} | attention(),
                    {"attn_norm.weight": (D,), "ffn_up.weight": (128, D),
                     "ffn_down.weight": (D, 128)}], False),
    "qwen3next": (HEADS | MOE | {
        "attention.key_length": 16, "full_attention_interval": 2, "ssm.conv_kernel": 4,
        "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.group_count": 2, "ssm.time_step_rank": 4,
        "expert_shared_feed_forward_length": 32},
        [NORMS | mixer | experts() | shared() | {"ffn_gate_inp_shexp.weight": (1, D)}
         for mixer in (DELTA, attention(norm=16, gate=2))], False),
}


def write(path, kind, metadata, layers, tied):
    w = gguf.GGUFWriter(path, kind)
    w.add_file_type(0)
    for key, value in ({"embedding_length": D, "block_count": len(layers),
                        "context_length": 256} | metadata).items():
        add = w.add_array if isinstance(value, list) else w.add_uint32
        add(f"{kind}.{key}", value)
    tensors = {"token_embd.weight": (V, D), "output_norm.weight": (D,)}
    tensors |= {} if tied else {"output.weight": (V, D)}
    for i, layer in enumerate(layers):
        tensors |= {f"blk.{i}.{name}": shape for name, shape in layer.items()}
    for name, shape in tensors.items():
        w.add_tensor(name, np.zeros(shape, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


@pytest.mark.parametrize("kind", FILES)
def test_every_parameter_is_explained(kind, tmp_path):
    path = write(tmp_path / "m.gguf", kind, *FILES[kind])
    arch = architecture_from_gguf(path)
    assert arch.total_params == read_gguf(path).params
    assert arch.tied == FILES[kind][2]


@pytest.mark.parametrize(("kind", "expected"), [
    ("llama", 2 * 2 * 32 * 100 * 2),                      # 2 layers of 2 heads x 16
    ("gemma2", 2 * 32 * (8 + 100) * 2),                   # every other layer keeps 8 tokens
    ("gemma3", 2 * 32 * (5 * 8 + 100) * 2),
    ("gpt-oss", 2 * 32 * (8 + 100) * 2),
    ("deepseek2", 2 * (16 + 8) * 100 * 2),                # one latent and one rotary key
    ("mamba", 0),
    ("granitehybrid", 2 * 32 * 100 * 2),                  # one of two layers attends
    ("lfm2", 2 * 32 * 100 * 2),
    ("qwen3next", 2 * 32 * 100 * 2),
])
def test_caches(kind, expected, tmp_path):
    arch = architecture_from_gguf(write(tmp_path / "m.gguf", kind, *FILES[kind]))
    assert arch.cache_bytes(100) == expected


def test_prediction_layers_are_not_depth(tmp_path):
    metadata, layers, tied = FILES["glm4moe"]
    path = write(tmp_path / "m.gguf", "glm4moe", metadata | {"nextn_predict_layers": 1},
                 [*layers, layers[-1]], tied)
    arch = architecture_from_gguf(path)
    assert arch.n_layers == 2 and arch.mtp


@pytest.mark.parametrize(("kind", "lost"), [
    ("deepseek2", "rope.dimension_count"), ("qwen3next", "ssm.inner_size"),
    ("nemotron_h", "feed_forward_length"), ("llama", "attention.head_count")])
def test_what_cannot_be_done_without_is_named(kind, lost, tmp_path):
    metadata, layers, tied = FILES[kind]
    kept = {k: v for k, v in metadata.items() if k != lost}
    with pytest.raises(BadInput) as caught:
        architecture_from_gguf(write(tmp_path / "m.gguf", kind, kept, layers, tied))
    assert "\n" not in str(caught.value)
