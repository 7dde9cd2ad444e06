"""GGUF metadata in the words of a config.json.

Key names from the GGUF specification and the constants of the `gguf` package (ggml-org, MIT). What
the metadata leaves to the loader (biases, norms, which layers attend) is read off the tensor list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ridgeline.errors import BadInput

Shapes = Mapping[str, tuple[int, ...]]

# Architecture names of the format that differ from the library's model types.
MODEL_TYPES = {
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "qwen3next": "qwen3_next",
    "qwen35": "qwen3_5_text", "qwen35moe": "qwen3_5_moe_text", "qwen3vl": "qwen3",
    "qwen3vlmoe": "qwen3_moe", "qwen2vl": "qwen2", "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text", "gemma4": "gemma4_text", "phi2": "phi", "gptneox": "gpt_neox",
    "command-r": "cohere", "gpt-oss": "gpt_oss", "glm4moe": "glm4_moe", "deepseek": "deepseek",
    "ernie4_5-moe": "ernie4_5_moe", "hunyuan-dense": "hunyuan_v1_dense",
    "hunyuan-moe": "hunyuan_v1_moe", "deepseek2": "deepseek_v3", "exaone": "llama",
    "internlm2": "llama", "mistral3": "mistral", "bailingmoe": "bailing_moe",
    "bailingmoe2": "bailing_moe_v2", "granitehybrid": "granitemoehybrid", "falcon-h1": "falcon_h1",
    "lfm2moe": "lfm2_moe", "minimax-m2": "minimax_m2", "nemotron_h_moe": "nemotron_h",
    "exaone-moe": "exaone_moe", "starcoder": "gpt_bigcode", "minicpm": "llama",
}
# Metadata key after the architecture's name -> field of a config.
FIELDS = {
    "embedding_length": "hidden_size", "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size", "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim", "attention.sliding_window": "sliding_window",
    "attention.q_lora_rank": "q_lora_rank", "attention.kv_lora_rank": "kv_lora_rank",
    "expert_count": "num_experts", "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace",
    "interleave_moe_layer_step": "interleave_moe_layer_step",
    "nextn_predict_layers": "num_nextn_predict_layers",
    "attention.indexer.head_count": "index_n_heads",
    "attention.indexer.key_length": "index_head_dim", "attention.indexer.top_k": "index_topk",
    "full_attention_interval": "full_attention_interval", "ssm.conv_kernel": "conv_kernel",
    "ssm.state_size": "state_size", "ssm.time_step_rank": "time_step_rank",
}
# Types whose own code fixes these biases; the others say it by having the tensors.
_FIXED_BIAS = frozenset({"qwen2", "qwen2_moe", "gpt_oss", "starcoder2", "gpt2", "phi", "gpt_neox",
                         "bert", "seed_oss", "gpt_bigcode", "bloom", "falcon"})


def config_of(kind: str, metadata: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The config of one architecture.

    Args:
        kind: `general.architecture`.
        metadata: every key of the file.
        shapes: tensor name -> sizes, fastest axis first.

    Raises:
        BadInput: a key that the architecture cannot do without is missing.
    """
    def said(key: str) -> Any:
        return metadata.get(f"{kind}.{key}")

    config: dict[str, Any] = {field: said(key) for key, field in FIELDS.items()
                              if said(key) is not None}
    config["vocab_size"] = shapes["token_embd.weight"][1]
    config["tie_word_embeddings"] = "output.weight" not in shapes
    config["model_type"] = MODEL_TYPES.get(kind, kind)
    if kind == "llama" and config.get("num_experts"):
        config["model_type"] = "mixtral"
    if not config.get("sliding_window"):
        config.pop("sliding_window", None)
    _from_tensors(config, shapes)
    _prediction_layers(config)
    _window_pattern(config, said("attention.sliding_window_pattern"))
    adapt = _ADAPT.get(kind)
    if adapt is not None:
        adapt(config, said, shapes)
    if isinstance(config.get("num_key_value_heads"), list) and kind not in _ADAPT:
        config["num_key_value_heads"] = _one(config["num_key_value_heads"])
    return config


def _from_tensors(config: dict[str, Any], shapes: Shapes) -> None:
    """Biases and head norms, by the tensors of the first layer that attends."""
    names = set(shapes)
    biased = any(n.endswith(("attn_q.bias", "attn_qkv.bias")) for n in names)
    if config["model_type"] not in _FIXED_BIAS:
        config["attention_bias"] = biased
    if any(n.endswith("attn_q_norm.weight") for n in names):
        config["use_qk_norm"] = True


def _prediction_layers(config: dict[str, Any]) -> None:
    """The block count of the format includes prediction layers; a config's depth does not."""
    extra, depth = config.get("num_nextn_predict_layers"), config.get("num_hidden_layers")
    if isinstance(extra, int) and isinstance(depth, int) and 0 < extra < depth:
        config["num_hidden_layers"] = depth - extra


def _window_pattern(config: dict[str, Any], pattern: Any) -> None:
    """A pattern may be a period or a mark for each layer."""
    if isinstance(pattern, list):
        config["layer_types"] = ["sliding_attention" if p else "full_attention" for p in pattern]
    elif isinstance(pattern, int) and pattern > 0:
        config["sliding_window_pattern"] = pattern


def _one(values: Any) -> Any:
    """The one value above zero that a list of layers repeats, else the list."""
    kept = {v for v in values if isinstance(v, int) and v > 0} if isinstance(values, list) else None
    return kept.pop() if kept and len(kept) == 1 else values


def _latent(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    """DeepSeek's head widths: newer files give key and value widths of the expanded heads apart."""
    rope = said("rope.dimension_count")
    whole = said("attention.key_length_mla") or said("attention.key_length")
    if not isinstance(rope, int) or not isinstance(whole, int):
        raise BadInput("a deepseek2 file needs rope.dimension_count and attention.key_length")
    config.update(qk_rope_head_dim=rope, qk_nope_head_dim=whole - rope, num_key_value_heads=None,
                  v_head_dim=said("attention.value_length_mla")
                  or said("attention.value_length"), attention_bias=False)
    biased = any(name.endswith("exp_probs_b.bias") for name in shapes)
    config["model_type"] = "deepseek_v3" if biased else "deepseek_v2"


def _mamba(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    config["intermediate_size"] = said("ssm.inner_size")
    for field in ("num_attention_heads", "attention_bias", "num_key_value_heads"):
        config.pop(field, None)


def _mamba2(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    _mamba(config, said, shapes)
    config.update(n_groups=said("ssm.group_count"), num_heads=said("ssm.time_step_rank"))
    config.pop("time_step_rank", None)


def _mixer_fields(config: dict[str, Any], said: Any) -> None:
    """A Mamba-2 mixer under the names of Falcon-H1 and Granite."""
    config.update(mamba_d_ssm=said("ssm.inner_size"), mamba_d_state=said("ssm.state_size"),
                  mamba_d_conv=said("ssm.conv_kernel"), mamba_n_groups=said("ssm.group_count"),
                  mamba_n_heads=said("ssm.time_step_rank"))
    for field in ("conv_kernel", "state_size", "time_step_rank"):
        config.pop(field, None)


def _falcon_h1(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    _mixer_fields(config, said)
    config.update(mamba_rms_norm="blk.0.ssm_norm.weight" in shapes,
                  mamba_conv_bias="blk.0.ssm_conv1d.bias" in shapes)


def _attending(config: dict[str, Any], other: str) -> None:
    """Layers with KV heads attend; the others are of the kind given."""
    heads = config.get("num_key_value_heads")
    if isinstance(heads, list):
        config["layer_types"] = ["attention" if h else other for h in heads]
        config["num_key_value_heads"] = _one(heads)


def _granite_hybrid(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    _mixer_fields(config, said)
    _attending(config, "mamba")
    shared = config.pop("shared_expert_intermediate_size", None)
    if config.get("num_experts"):
        config.update(num_local_experts=config.pop("num_experts"), shared_intermediate_size=shared)
    else:
        config["shared_intermediate_size"] = shared or config.get("intermediate_size")


def _lfm2(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    config["conv_L_cache"] = said("shortconv.l_cache")
    _attending(config, "conv")
    config["layer_types"] = ["full_attention" if k == "attention" else k
                             for k in config.get("layer_types", [])] or None
    if any(name.endswith("exp_probs_b.bias") for name in shapes):
        config["use_expert_bias"] = True


def _nemotron_h(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    heads, widths = config.get("num_key_value_heads"), config.get("intermediate_size")
    inner, n = said("ssm.inner_size"), said("ssm.time_step_rank")
    if not (isinstance(heads, list) and isinstance(widths, list) and isinstance(inner, int)
            and isinstance(n, int) and n > 0):
        raise BadInput("a nemotron_h file needs KV heads and feed-forward widths by layer")
    ffn = "moe" if config.get("num_experts") else "mlp"
    config["layers_block_type"] = ["attention" if h else ffn if w else "mamba"
                                   for h, w in zip(heads, widths, strict=False)]
    config.update(num_key_value_heads=_one(heads), intermediate_size=_one(widths),
                  mamba_num_heads=n, mamba_head_dim=inner // n,
                  num_attention_heads=_one(config.get("num_attention_heads")),
                  ssm_state_size=said("ssm.state_size"), n_groups=said("ssm.group_count"))
    for field in ("state_size", "time_step_rank"):
        config.pop(field, None)


def _delta(config: dict[str, Any], said: Any, shapes: Shapes) -> None:
    """Gated delta nets: the state-space keys hold their heads and widths."""
    heads, inner = said("ssm.time_step_rank"), said("ssm.inner_size")
    if not isinstance(heads, int) or not isinstance(inner, int) or heads < 1:
        raise BadInput("a gated delta net file needs ssm.inner_size and ssm.time_step_rank")
    config.update(linear_num_value_heads=heads, linear_value_head_dim=inner // heads,
                  linear_num_key_heads=said("ssm.group_count"),
                  linear_key_head_dim=said("ssm.state_size"),
                  linear_conv_kernel_dim=said("ssm.conv_kernel"),
                  num_key_value_heads=_one(config.get("num_key_value_heads")),
                  mtp_num_hidden_layers=config.pop("num_nextn_predict_layers", 0))
    for field in ("conv_kernel", "state_size", "time_step_rank"):
        config.pop(field, None)


_ADAPT = {
    "deepseek2": _latent, "mamba": _mamba, "mamba2": _mamba2, "falcon-h1": _falcon_h1,
    "granitehybrid": _granite_hybrid, "lfm2": _lfm2, "lfm2moe": _lfm2, "nemotron_h": _nemotron_h,
    "nemotron_h_moe": _nemotron_h, "qwen3next": _delta, "qwen35": _delta, "qwen35moe": _delta,
}
