"""Memory answers against worked values and against themselves."""

import pytest

import ridgeline


def test_llama_8b_on_a_4090_holds_what_vllm_logs():
    """vLLM at 0.9 logs 41,408 tokens of KV cache; within 3 %."""
    answer = ridgeline.fit("Llama-3.1-8B", "RTX-4090", memory_fraction=0.9)
    assert answer.value("kv_capacity_tokens") == pytest.approx(41_408, rel=0.03)
    assert answer.value("kv_bytes_per_token") == 131_072
    assert answer.value("total_params") == 8_030_261_248


def test_items_add_up_to_the_device():
    answer = ridgeline.fit("Qwen3-30B-A3B", "4xH100-SXM", context=32768)
    table = next(t for t in answer.tables if t.name == "memory")
    assert sum(row[2] for row in table.rows) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("model", "machine", "chips"), [
    ("Llama-3.1-8B", "H100-SXM", 1), ("Llama-3.1-70B", "H100-SXM", 2),
    ("Llama-3.1-405B", "H100-SXM", 16)])
def test_fewest_chips(model, machine, chips):
    assert ridgeline.fit(model, machine, context=2048).value("min_chips") == chips


def test_kv_heads_are_copied_beyond_their_number():
    """Llama-3.1-70B has 8 KV heads: tp 16 keeps one on each device, as tp 8 does."""
    eight = ridgeline.fit("Llama-3.1-70B", "8xH100-SXM", tp=8).value("kv_bytes_per_token")
    sixteen = ridgeline.fit("Llama-3.1-70B", "16xH100-SXM", tp=16).value("kv_bytes_per_token")
    assert eight == sixteen == 327_680 / 8


def test_latent_cache_is_not_divided():
    one = ridgeline.fit("DeepSeek-V3", "8xH200", tp=8, ep=8).value("kv_bytes_per_token")
    assert one == 61 * (512 + 64) * 2


def test_every_lever_says_what_the_change_gives():
    answer = ridgeline.fit("Llama-3.1-70B", "8xH100-SXM", context=8192)
    levers = next(t for t in answer.tables if t.name == "levers")
    gain = next(row[1] for row in levers.rows if "cache in fp8" in str(row[0]))
    wide = ridgeline.fit("Llama-3.1-70B", "8xH100-SXM", context=8192, kv="fp8")
    assert wide.value("max_concurrency") / answer.value("max_concurrency") == pytest.approx(
        gain, rel=0.02)


def test_training_state_of_llama_70b():
    """16 B a parameter: 1,128.9 GB in all with AdamW, nothing sharded but by tp."""
    answer = ridgeline.fit("Llama-3.1-70B", "8xH100-SXM", training=True, tp=8)
    state = sum(answer.value(f"{part}_bytes") for part in ("weights", "gradients", "optimizer"))
    assert 8 * state == pytest.approx(1128.9e9, rel=0.01)
    assert answer["fits"] is False


def test_zero_3_shards_everything():
    plain = ridgeline.fit("Llama-3.1-8B", "8xH100-SXM", training=True, tp=1)
    sharded = ridgeline.fit("Llama-3.1-8B", "8xH100-SXM", training=True, tp=1, zero=3)
    for part in ("weights", "gradients", "optimizer"):
        assert plain.value(f"{part}_bytes") == pytest.approx(8 * sharded.value(f"{part}_bytes"))


def test_reversible_training_keeps_no_depth():
    deep = ridgeline.fit("Llama-3.1-8B", "H100-SXM", training=True, recompute="reversible",
                         seq=8192)
    full = ridgeline.fit("Llama-3.1-8B", "H100-SXM", training=True, recompute="full", seq=8192)
    assert deep.value("activations_bytes") < full.value("activations_bytes")
