"""What a published checkpoint holds besides parameters, and the formats a config declares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.fields import Fields
from ridgeline.model.parts import Attention, Role, Weight
from ridgeline.model.tensors import elements

# Matrices that FP8 checkpoints quantise; routers, norms, embeddings and heads stay in 16 bits.
_QUANTISED: tuple[Role, ...] = ("attention", "mixer", "ffn", "expert", "shared_expert", "other")
_KEPT_WIDE = ("indexer.weights_proj", "mtp.eh_proj")
# Transformers stored the rotary frequencies of LLaMA layers until this release.
_ROTARY_STORED_BEFORE = (4, 32)


def checkpoint_extras(outer: Fields, f: Fields, arch: Architecture) -> tuple[CheckpointExtra, ...]:
    """Buffers and scales that files of this type and age hold.

    Args:
        outer: the whole config.
        f: the text model's fields.
        arch: the architecture, with its prediction layers.
    """
    return (*_buffers(f, arch), *_left_out(f, arch), *_fp8_scales(outer, arch))


def _left_out(f: Fields, arch: Architecture) -> tuple[CheckpointExtra, ...]:
    """Buffers that some published counts leave out although the model has them (negative)."""
    kind = f.text("model_type")
    if kind.startswith("gemma4"):
        names = ("layer_scalar", "vision.standardize")
        held = sum(w.elements * n for w, n in (*arch.weights(), *((v, 1) for v in arch.vision))
                   if w.name in names)
        bounds = sum(w.elements for w in arch.vision if w.name.endswith("clip_bounds"))
        extras = (CheckpointExtra("layer and standardisation buffers, not counted", -held,
                                  likely=False),
                  CheckpointExtra("clipping bounds of the towers, not counted", -bounds),
                  CheckpointExtra("keys and values of layers that read another's, stored unused",
                                  _unused_kv(arch)))
        return tuple(e for e in extras if e.elements or not e.likely)
    if kind == "nemotron_h":
        main = sum(w.elements * n for w, n in arch.weights() if w.name == "router.bias")
        own = sum(w.elements for w in arch.mtp if w.name == "router.bias")
        return tuple(CheckpointExtra(f"router correction biases{of}, not counted", -held)
                     for of, held in (("", main), (" of prediction layers", own)) if held)
    return ()


def _unused_kv(arch: Architecture) -> int:
    """Projections and norms of keys and values in layers that share another layer's cache."""
    total = 0
    for block, repeats in arch.blocks:
        mixer = block.mixer
        if isinstance(mixer, Attention) and mixer.shares_kv:
            own = replace(mixer, shares_kv=False)
            total += repeats * (elements(own.weights(arch.d_model))
                                - elements(mixer.weights(arch.d_model)))
    return total


def _buffers(f: Fields, arch: Architecture) -> tuple[CheckpointExtra, ...]:
    kind, layers = f.text("model_type"), arch.n_layers
    first = arch.blocks[0][0].mixer if arch.blocks else None
    width = first.head_dim if isinstance(first, Attention) else 0
    square = arch.max_context**2
    if kind in ("llama", "internlm", "aquila", "baichuan") and width:
        old = _version(f) < _ROTARY_STORED_BEFORE if kind == "llama" else False
        return (CheckpointExtra("rotary frequency buffers", layers * (width // 2), likely=old),)
    if kind == "gpt2":
        return (CheckpointExtra("causal-mask buffers", layers * square),
                CheckpointExtra("masked-value buffers", layers, likely=False))
    if kind == "gpt_neo":
        return (CheckpointExtra("causal-mask buffers", layers * square, likely=False),
                CheckpointExtra("masked-value buffers", layers, likely=False))
    if kind == "gpt_neox":
        rotary = int(width * f.number("rotary_pct", default=0.25, high=1.0)) // 2
        return (CheckpointExtra("causal-mask, masked-value and rotary buffers",
                                layers * (square + 1 + rotary)),)
    if kind == "chatglm":
        # One table for all layers; the rotation covers half of a head.
        return (CheckpointExtra("rotary frequency buffers", width // 4),)
    if kind == "gptj":
        return (CheckpointExtra("causal-mask buffers", layers * square, likely=False),
                CheckpointExtra("masked-value buffers", layers, likely=False))
    return ()


def _version(f: Fields) -> tuple[int, int]:
    """The library release a config was written with; far ahead when it does not say."""
    said = f.raw("transformers_version")
    match = re.match(r"(\d{1,4})\.(\d{1,4})", said) if isinstance(said, str) else None
    return (int(match[1]), int(match[2])) if match else (99, 0)


def _fp8_scales(outer: Fields, arch: Architecture) -> tuple[CheckpointExtra, ...]:
    """One scale for every 128 x 128 block of every quantised matrix."""
    group = outer.sub("quantization_config")
    if group is None or group.raw("quant_method") != "fp8":
        return ()
    block = group.counts("weight_block_size", length=2, low=1)
    if block is None:
        return ()
    kept = group.names("modules_to_not_convert", "ignored_layers") or []
    wide = [k.rsplit(".", 1)[-1] for k in kept]
    main = [(w, n) for w, n in arch.weights() if _quantised(w)
            and wide.count(w.name) < arch.n_layers]
    scales = sum(_scales(w, block) * n for w, n in main)
    scales += _total((w for w in arch.mtp if wide.count(w.name) < arch.n_layers), block)
    extras = [CheckpointExtra("FP8 block scales", scales)] if scales else []
    ragged = sum(_ragged(w, block) * n for w, n in main)
    if ragged:
        extras.append(CheckpointExtra("scale rows of ragged matrices alone", ragged,
                                      likely=False))
    return tuple(extras) if not any(k == "lm_head" and not scales for k in kept) else ()


def _quantised(weight: Weight) -> bool:
    return (weight.role in _QUANTISED and len(weight.shape) == 2
            and not weight.name.startswith(("hyper", "residual", "compressor", "indexer.comp"))
            and weight.name not in _KEPT_WIDE)


def _scales(weight: Weight, block: list[int]) -> int:
    rows, columns = weight.shape
    return -(-rows // block[0]) * -(-columns // block[1]) * weight.count


def _ragged(weight: Weight, block: list[int]) -> int:
    """Scales beyond those of whole blocks."""
    rows, columns = weight.shape
    return _scales(weight, block) - rows // block[0] * (columns // block[1]) * weight.count


def _total(weights: Iterable[Weight], block: list[int]) -> int:
    return sum(_scales(w, block) for w in weights if _quantised(w))


_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half": "fp16",
           "float8_e4m3fn": "fp8"}


def declared_formats(outer: Fields, f: Fields) -> tuple[str, str | None]:
    """Number format of the weights and, where it differs, of the experts."""
    said = f.raw("torch_dtype", "dtype") or outer.raw("torch_dtype", "dtype")
    plain = _DTYPES.get(said.removeprefix("torch."), "bf16") if isinstance(said, str) else "bf16"
    group = outer.sub("quantization_config") or f.sub("quantization_config")
    if group is None:
        return plain, None
    method = group.raw("quant_method")
    if method == "mxfp4":
        return plain, "mxfp4"
    if method == "fp8":
        fp8 = "fp8_block" if group.has("weight_block_size") else "fp8"
        return fp8, "mxfp4" if f.raw("expert_dtype") in ("fp4", "mxfp4") else None
    if method == "bitnet":
        return "ternary", None
    if method in ("gptq", "awq", "auto-round"):
        return _grouped_int(group, "awq" if method == "awq" else "gptq"), None
    if method == "compressed-tensors":
        return _compressed_tensors(group, plain)
    if isinstance(method, str) and "modelopt" in method:
        return ("nvfp4" if "fp4" in str(group.raw("quant_algo")).lower() else "fp8"), None
    return plain, None


def _compressed_tensors(group: Fields, plain: str) -> tuple[str, str | None]:
    """Format of compressed-tensors files; ignored attention means that only experts are packed."""
    named = group.raw("format")
    ignored = group.raw("ignore")
    only_experts = isinstance(ignored, list) and any("self_attn" in str(i) for i in ignored)
    kind = str(named)
    packed = ("mxfp4" if "mxfp4" in kind else "nvfp4" if "nvfp4" in kind else
              _packed_int(group) if "pack" in kind else "int8" if "int" in kind else "fp8")
    return (plain, packed) if only_experts else (packed, None)


def _grouped_int(group: Fields, name: str) -> str:
    """Integer weights with a scale for each group of values; a scale a column costs nothing."""
    if group.raw("bits", "w_bit") == 8:
        return "int8"
    return _int4(group.raw("group_size", "q_group_size"), name)


def _int4(size: object, usual: str) -> str:
    """The 4-bit format of a group size; the usual one at 128 and where none is said."""
    if isinstance(size, bool) or not isinstance(size, int):
        return usual
    return "int4" if size <= 0 else {32: "int4_g32", 64: "int4_g64"}.get(size, usual)


def _packed_int(group: Fields) -> str:
    """Packed integers of compressed-tensors: bits and group size of its first weight scheme."""
    schemes = group.raw("config_groups")
    first = next(iter(schemes.values()), None) if isinstance(schemes, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        return "int4_g128"
    if weights.get("num_bits") == 8:
        return "int8"
    size = weights.get("group_size")
    return _int4(size, "int4_g128") if size else "int4"
