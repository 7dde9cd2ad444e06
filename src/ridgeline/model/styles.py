"""What each model type's own code fixes and its config leaves out.

Facts about shapes, read from the public modelling code of each type (Hugging Face Transformers 5,
Apache-2.0, and the publishers' repositories) and checked against the element counts of published
checkpoints. A type not listed here is read as a plain gated decoder with two norms a layer.
"""

from __future__ import annotations

from ridgeline.model.decoder import Style

LLAMA = Style()
# GPT-2 and its kin: learned positions, layer norms with offsets, biases everywhere, 4x feed-forward
_GPT = Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True, mlp_bias=True,
             tied=True, learned_positions=True, d_ff_ratio=4)
_GEMMA = Style(tied=True, vocab=256_000, head_dim=256)
_QWEN2 = Style(q_bias=True, kv_bias=True, window="qwen")
_QWEN3 = Style(qk_norm="head", window="qwen", bias_covers_out=True)
_COHERE = Style(norms=1, tied=True, parallel=True, qk_norm="full", qk_norm_field="use_qk_norm")
_DEEPSEEK = Style(router_bias=True)

STYLES: dict[str, Style] = {
    "llama": LLAMA, "Yi": LLAMA, "yi": LLAMA, "aquila": LLAMA, "smollm3": Style(tied=True),
    "deci": LLAMA, "cwm": LLAMA, "hyperclovax": Style(norms=4), "iquestcoder": LLAMA,
    "granite": LLAMA,
    "helium": LLAMA, "ministral3": LLAMA, "phi3": LLAMA, "internlm3": LLAMA, "minicpm": Style(
        tied=True), "minicpm3": Style(tied=True), "solar": LLAMA, "xverse": LLAMA,
    "mistral": LLAMA, "ministral": LLAMA, "mixtral": LLAMA, "granitemoe": LLAMA,
    "youtu": LLAMA, "vaultgemma": _GEMMA, "arctic": LLAMA,
    "baichuan": LLAMA, "orion": Style(norm_bias=True), "seed_oss": Style(
        q_bias=True, kv_bias=True, bias_covers_out=False),
    "internlm": Style(bias_covers_out=True), "internlm2": LLAMA, "arcee": Style(gated=False),
    "apertus": Style(gated=False, qk_norm="head"),
    "qwen": Style(q_bias=True, kv_bias=True, window="none"),
    "qwen2": _QWEN2, "qwen2_vl": _QWEN2, "qwen2_5_vl": _QWEN2, "qwen2_vl_text": _QWEN2,
    "qwen2_5_vl_text": _QWEN2, "qwen2_audio": _QWEN2,
    "qwen2_moe": Style(q_bias=True, kv_bias=True, window="qwen", shared_gate=True,
                       bias_covers_out=False),
    "qwen3": _QWEN3, "qwen3_moe": _QWEN3, "qwen3_vl": _QWEN3, "qwen3_vl_text": _QWEN3,
    "qwen3_vl_moe": _QWEN3, "qwen3_vl_moe_text": _QWEN3, "qwen3_omni_moe_text": _QWEN3,
    "gemma": _GEMMA,
    "gemma2": Style(norms=4, tied=True, vocab=256_000, head_dim=256, window="period", pattern=2),
    "gemma3_text": Style(norms=4, tied=True, vocab=262_208, head_dim=256, qk_norm="head",
                         window="period", pattern=6, context=131_072),
    "embedding_gemma": Style(norms=4, tied=True, vocab=262_144, head_dim=256, qk_norm="head"),
    "olmo": Style(norms=0, final_norm=False),
    "olmo2": Style(qk_norm="full"), "olmo3": Style(qk_norm="full", window="period", pattern=4),
    "olmoe": Style(qk_norm="full"), "flex_olmo": Style(qk_norm="full"),
    "cohere": _COHERE,
    "cohere2": Style(norms=1, tied=True, parallel=True, window="period", pattern=4),
    "exaone4": Style(qk_norm="head", window="period", pattern=4),
    "exaone": Style(d_ff_ratio=0),
    "exaone_moe": Style(qk_norm="head", router_bias=True),
    "stablelm": Style(norm_bias=True, bias_covers_out=False, qk_norm="full",
                      qk_norm_field="qk_layernorm"),
    "stablelm_epoch": Style(norm_bias=True),
    "persimmon": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                       mlp_bias=True, qk_norm="head", qk_norm_bias=True,
                       qk_norm_field="qk_layernorm"),
    "phi": Style(gated=False, norms=1, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                 mlp_bias=True, parallel=True, head_bias=True, qk_norm="head", qk_norm_bias=True,
                 qk_norm_field="qk_layernorm"),
    "phimoe": Style(norm_bias=True),
    "starcoder2": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                        mlp_bias=True, tied=True),
    "nemotron": Style(gated=False, norm_bias=True),
    "gpt2": _GPT, "gpt-sw3": _GPT, "gpt_bigcode": _GPT, "megatron-gpt2": _GPT,
    "gpt_neo": Style(gated=False, norm_bias=True, out_bias=True, mlp_bias=True, tied=True,
                     learned_positions=True, d_ff_ratio=4, window="period", pattern=0),
    "gpt_neox": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                      mlp_bias=True, parallel=True),
    "gptj": Style(gated=False, norms=1, norm_bias=True, mlp_bias=True, parallel=True,
                  head_bias=True, d_ff_ratio=4),
    "codegen": Style(gated=False, norms=1, norm_bias=True, mlp_bias=True, parallel=True,
                     head_bias=True, d_ff_ratio=4),
    "bloom": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                   mlp_bias=True, tied=True, embed_norm=True, d_ff_ratio=4),
    "opt": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                 mlp_bias=True, tied=True, learned_positions=True, position_offset=2),
    "chatglm": Style(q_bias=True, kv_bias=True, bias_covers_out=False),
    "glm": Style(bias_covers_out=False), "glm4": Style(bias_covers_out=False, norms=4),
    "glm4v_text": Style(q_bias=True, kv_bias=True, bias_covers_out=False, norms=4),
    "glm4v": Style(q_bias=True, kv_bias=True, bias_covers_out=False, norms=4),
    "glm4v_moe": Style(bias_covers_out=False, router_bias=True),
    "glm_ocr_text": Style(bias_covers_out=False, norms=4),
    "glm4_moe": Style(bias_covers_out=False, qk_norm="head", qk_norm_field="use_qk_norm",
                      router_bias=True),
    "glm4v_moe_text": Style(bias_covers_out=False, router_bias=True),
    "glm4_moe_lite": Style(router_bias=True, first_dense=1),
    "glm_moe_dsa": Style(router_bias=True, first_dense=3),
    "deepseek": LLAMA, "deepseek_v2": LLAMA, "deepseek_v3": _DEEPSEEK, "deepseek_v32": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK, "mistral_large3": _DEEPSEEK, "axk1": _DEEPSEEK,
    "dots1": Style(qk_norm="head", router_bias=True),
    "hunyuan_v1_moe": Style(qk_norm="head", tied=True),
    "hunyuan_v1_dense": Style(qk_norm="head", tied=True),
    "hunyuan": Style(qk_norm="head", qk_norm_field="use_qk_norm", tied=True),
    "hy_v3": Style(qk_norm="head", router_bias=True, first_dense=1),
    "ernie4_5": Style(tied=True), "ernie4_5_moe": Style(tied=True, router_bias=True),
    "gpt_oss": Style(sinks=True, router_bias=True, expert_bias=True, q_bias=True, kv_bias=True,
                     out_bias=True, window="period", pattern=2),
    "minimax_m2": Style(qk_norm="full", router_bias=True),
    "mimo": Style(q_bias=True, kv_bias=True, bias_covers_out=False),
    "bitnet": Style(inner_norm=True, tied=True),
    "grok-1": Style(norms=4), "solar_open": Style(router_bias=True),
    "bailing_moe": Style(qk_norm="head", qk_norm_field="use_qk_norm"),
    "bailing_moe_v2": Style(qk_norm="head", router_bias=True),
    "afmoe": Style(norms=4, qk_norm="head", output_gate=True, router_bias=True),
    "skywork": LLAMA, "telechat2": LLAMA, "mellum": Style(qk_norm="head"),
    "muse_glimmer": Style(norms=4, output_gate=True),
    "muse_glimmer_text": Style(norms=4, output_gate=True),
    "granite_swa": Style(sinks=True, tied=True), "granitemoe_swa": Style(sinks=True, tied=True),
    "jais2": Style(gated=False, norm_bias=True, q_bias=True, kv_bias=True, out_bias=True,
                   mlp_bias=True),
    "mistral4": LLAMA,
    "nanochat": Style(norms=0, final_norm=False, gated=False),
}
