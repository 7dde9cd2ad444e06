"""Reading configs: formats, odd shapes, broken values."""

import copy
import json
import math
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.model.huggingface import architecture_from_config, read_config
from ridgeline.model.load import bundled_models, load_architecture

TINY = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 100, "tie_word_embeddings": False, "max_position_embeddings": 128}
# embedding and head 2 x 6,400; a layer: q, o 4,096 each, k, v 2,048 each, 3 x 8,192, 2 norms
TINY_PARAMS = 2 * 6400 + 2 * (2 * 4096 + 2 * 2048 + 3 * 8192 + 2 * 64) + 64
DATA = Path(__file__).parent / "data"
CONFIGS = [read_config(path) for path in bundled_models().values()] + [
    row["config"] for file in ("modules.json", "published.json")
    for row in json.loads((DATA / file).read_text())]


def built(**changes):
    return architecture_from_config({k: v for k, v in {**TINY, **changes}.items()
                                     if v is not ...})


def test_tiny_by_hand():
    assert built().total_params == TINY_PARAMS
    assert built(tie_word_embeddings=True).total_params == TINY_PARAMS - 6400


def test_unknown_type_with_known_fields():
    assert built(model_type="brand_new").total_params == TINY_PARAMS
    assert built(model_type=...).total_params == TINY_PARAMS


@pytest.mark.parametrize("field", [
    {"num_experts_of_a_kind": 8}, {"kv_squeeze_rank": 16}, {"attention_compress_factor": 4},
    {"extra_layers": 2}, {"num_side_towers": 3}, {"sliding_window_heads": 2}])
def test_unknown_fields_that_cost_are_named(field):
    with pytest.raises(BadInput, match=next(iter(field))):
        built(model_type="brand_new", **field)


@pytest.mark.parametrize("field", [
    {"rope_theta": 1e6}, {"num_return_sequences": 1}, {"num_beams": 4}, {"eos_token_id": 3},
    {"initializer_range": 0.02}, {"use_cache": True}, {"hidden_act": "silu"},
    {"num_dropped_experts": 0}, {"extra_layers": None}])
def test_fields_that_do_not_cost_are_ignored(field):
    assert built(model_type="brand_new", **field).total_params == TINY_PARAMS


@pytest.mark.parametrize("value", [-1, 0, "64", None, math.nan, math.inf, 10**30, 2.5, [64], {},
                                   True])
@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size",
                                   "num_attention_heads"])
def test_broken_sizes(field, value):
    with pytest.raises(BadInput) as caught:
        built(**{field: value})
    assert field in str(caught.value) and "\n" not in str(caught.value)


def test_heads_must_divide():
    with pytest.raises(BadInput, match="5 heads do not divide the width 64"):
        built(num_attention_heads=5, num_key_value_heads=5)
    with pytest.raises(BadInput, match="3 KV heads do not divide 4"):
        built(num_key_value_heads=3)


def test_layer_lists_must_cover_the_depth():
    with pytest.raises(BadInput, match="layer_types"):
        built(model_type="gpt_oss", sliding_window=8, layer_types=["full_attention"])


def test_top_k_beyond_experts():
    with pytest.raises(BadInput, match="at most the 4 experts"):
        built(model_type="mixtral", num_local_experts=4, num_experts_per_tok=9)


def test_encoder_decoders_are_refused():
    with pytest.raises(BadInput, match="encoder-decoder"):
        architecture_from_config({"model_type": "t5", "d_model": 512})


@pytest.mark.parametrize("data", [[], "text", 3, None])
def test_not_a_config(data):
    with pytest.raises(BadInput):
        architecture_from_config(data)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, "\ud800".encode(
    "utf-8", "surrogatepass")])
def test_unreadable_files(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "weights", "experts"), [
    ("Llama-3.1-8B", "bf16", None), ("DeepSeek-V3", "fp8_block", None),
    ("gpt-oss-120b", "bf16", "mxfp4"), ("Kimi-K3", "bf16", "mxfp4"),
    ("DeepSeek-V4-Flash", "fp8_block", "mxfp4"), ("all-MiniLM-L6-v2", "bf16", None),
    ("bge-large-en", "fp32", None), ("e5-mistral-7b-instruct", "fp16", None)])
def test_declared_formats(name, weights, experts):
    arch = load_architecture(name)
    assert (arch.weight_format, arch.expert_format) == (weights, experts)


@pytest.mark.parametrize(("group", "expected"), [
    ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq"),
    ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4_g32"),
    ({"quant_method": "awq", "bits": 4, "group_size": 64}, "int4_g64"),
    ({"quant_method": "awq", "bits": 4, "group_size": -1}, "int4"),
    ({"quant_method": "awq", "bits": 4, "group_size": "odd"}, "awq"),
    ({"quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}}}, "int4_g32")])
def test_four_bit_formats_by_group_size(group, expected):
    assert built(quantization_config=group).weight_format == expected


def test_remote_classes_have_their_head():
    bare = built(architectures=["NewModel"])
    assert bare.total_params == TINY_PARAMS - 6400
    remote = built(architectures=["NewModel"], auto_map={"AutoModelForCausalLM": "x.NewModel"})
    assert remote.total_params == TINY_PARAMS


def test_declared_formats_are_in_the_catalog():
    import tomllib

    table = tomllib.loads((files("ridgeline.catalog") / "data" / "formats.toml").read_text())
    known = json.dumps(table)
    for name in bundled_models():
        arch = load_architecture(name)
        for said in (arch.weight_format, arch.expert_format):
            assert said is None or f'"{said}"' in known, (name, said)


def test_blocks_carry_what_the_config_says():
    sinks = load_architecture("gpt-oss-120b").blocks[0][0]
    assert sinks.mixer.sinks and sinks.mixer.window == 128 and sinks.ffn.top_k == 4
    gated = [b for b, _ in load_architecture("Qwen3-Next-80B-A3B-Instruct").blocks]
    assert {type(b.mixer).__name__ for b in gated} == {"LinearAttention", "Attention"}
    assert load_architecture("falcon-7b-instruct").blocks[0][0].parallel
    assert not load_architecture("bge-m3").causal


def test_classifiers():
    plain = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 10,
             "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 4}
    base = architecture_from_config({**plain, "architectures": ["BertModel"]})
    scored = architecture_from_config({**plain, "architectures": ["BertForSequenceClassification"],
                                       "id2label": {"0": "a", "1": "b", "2": "c"}})
    assert scored.total_params - base.total_params == 3 * 8 + 3
    ranker = built(model_type="qwen3", architectures=["Qwen3ForSequenceClassification"],
                   num_labels=1, head_dim=16)
    whole = built(model_type="qwen3", head_dim=16)
    assert whole.total_params - ranker.total_params == 6400 - 64


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70_000), st.integers(), st.floats(),
    st.text(max_size=6), st.lists(st.integers(-2, 9), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2))


def places(config):
    """Every (path, key) of a config and its groups."""
    for key, value in config.items():
        yield (), key
        if isinstance(value, dict):
            for inner, deep in value.items():
                yield (key,), inner
                if isinstance(deep, dict):
                    yield from (((key, inner), k) for k in deep)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_configs_never_crash(data):
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    for _ in range(data.draw(st.integers(1, 4))):
        path, key = data.draw(st.sampled_from(sorted(places(config), key=str)))
        group = config
        for step in path:
            group = group.get(step) if isinstance(group, dict) else None
        if not isinstance(group, dict):
            continue
        if data.draw(st.booleans()):
            group.pop(key, None)
        else:
            group[key] = data.draw(VALUES)
    try:
        arch = architecture_from_config(config)
        assert arch.total_params > 0 and arch.checkpoint_params is not None
        assert arch.active_params <= arch.total_params
        assert arch.cache_bytes(100) >= 0 and arch.state_bytes() >= 0
    except RidgelineError as error:
        assert "\n" not in str(error) and len(str(error)) < 400


def test_layer_lists_under_any_synonym_must_cover_the_depth():
    with pytest.raises(BadInput, match="interleave_moe_layer_step"):
        built(model_type="mixtral", num_local_experts=4, num_experts_per_tok=2,
              interleave_moe_layer_step=[])
