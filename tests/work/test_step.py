"""A step's ops against the tensors they come from, and against hand-counted attention."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ridgeline.catalog import list_names
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.model.architecture import Architecture
from ridgeline.model.huggingface import architecture_from_config
from ridgeline.model.load import load_architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, ExpertFfn
from ridgeline.work.attended import attended_pairs, pairs_from_start
from ridgeline.work.step import Step, decode_step, part_ops, prefill_step, step_ops

BF16 = Format("bf16", 2.0, "bf16")
FORMATS = Formats(BF16, BF16, BF16, BF16, BF16, Format("fp32", 4.0, "fp32"))
LINEAR = {"attention", "mixer", "ffn", "shared_expert", "router"}
# One of each kind of mixer and feed-forward the package knows.
MODELS = ["Llama-3.1-70B", "Qwen2.5-7B", "Qwen3-30B-A3B", "DeepSeek-V3", "DeepSeek-V3.2",
          "gemma-3-27b-it", "gpt-oss-120b", "Qwen3-Next-80B-A3B-Instruct", "Kimi-K3",
          "AI21-Jamba-1.5-Mini", "MiniMax-M1-80k", "NVIDIA-Nemotron-3-Super-120B-A12B-BF16",
          "mamba-2.8b-hf", "Mamba-Codestral-7B-v0.1", "rwkv-4-7b-pile", "Mixtral-8x7B-v0.1",
          "Llama-4-Scout-17B-16E-Instruct", "gemma-4-26B-A4B", "bitnet-b1.58-2B-4T", "falcon-40b"]


# Layouts of the model room's tests, the first of each model type.
LAYOUTS = {row["config"]["model_type"]: row["config"]
           for name in ("modules", "published")
           for row in json.loads((Path(__file__).parent.parent / "model" / "data" / f"{name}.json")
                                 .read_text(encoding="utf-8"))}
# Where one token is not multiplied with every matrix once, and by which factor.
NOT_ONCE = {"mllama": 0.811,        # layers that attend to an image rest when there is none
            "zamba": 0.984,         # the maps and adapters around a shared block are not counted,
            "zamba2": 0.971,
            "minimax_m3_vl": 0.991,  # nor the projections of this indexer
            "eurobert": 0.535}      # an encoder without the head that the sum assumes


def linear_params(architecture: Architecture) -> float:
    """Elements of the matrices one token is multiplied with."""
    total = float(architecture.vocab_size * architecture.d_model)    # the head, tied or not
    held = [(block, weight, repeats) for block, repeats in architecture.blocks
            for weight in block.weights(architecture.d_model)]
    for block, weight, repeats in held:
        if len(weight.shape) != 2 or "conv" in weight.name or weight.name in ("A_log", "D"):
            continue
        if weight.role == "expert" and isinstance(block.ffn, ExpertFfn):
            total += repeats * weight.elements * block.ffn.top_k / block.ffn.n_experts
        elif weight.role in LINEAR:
            total += repeats * weight.elements
    return total


def matmul_flop(ops) -> float:
    return sum(float(op.repeats * op.flop) for op in ops
               if op.kind in ("matmul", "grouped_matmul"))


@pytest.mark.parametrize("name", MODELS)
def test_one_token_multiplies_with_every_matrix_once(name):
    """2 FLOP for each parameter of a matrix: the ops and the tensors describe the same model."""
    architecture = load_architecture(name)
    ops = step_ops(architecture, Deployment(), FORMATS, decode_step(sequences=1.0, context=1.0))
    assert matmul_flop(ops) == pytest.approx(2 * linear_params(architecture), rel=3e-3)


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_one_token_multiplies_with_every_matrix_of_a_layout_once(kind):
    architecture = architecture_from_config(LAYOUTS[kind])
    if not architecture.causal:
        pytest.skip("an encoder makes no tokens")
    ops = step_ops(architecture, Deployment(), FORMATS, decode_step(sequences=1.0, context=1.0))
    once = 2 * linear_params(architecture)
    assert matmul_flop(ops) == pytest.approx(NOT_ONCE.get(kind, 1.0) * once, rel=3e-3)


def test_values_narrower_than_keys_are_read_as_such():
    """MiMo-V2-Flash: 64 heads of 192 with values of 128, 4 KV heads on full layers."""
    mixer = Attention(64, 4, 192, v_head_dim=128)
    block = Block(mixer, DenseFfn(128))
    architecture = Architecture("two", "test", 4096, 100, 0, ((block, 1),), (), (), True, ())
    ops = {op.name: op for op in step_ops(architecture, Deployment(), FORMATS,
                                          decode_step(sequences=1.0, context=1000.0))}
    attention = ops["decode_attention"]
    assert float(attention.state_bytes) == 1001 * 4 * (192 + 128) * 2
    assert float(attention.flop) == 2 * 1000 * 64 * (192 + 128) == 4 * 1000 * mixer.pair_width
    assert float(ops["o_proj"].flop) == 2 * 64 * 128 * 4096


@pytest.mark.parametrize("name", ["Llama-3.1-70B", "Qwen3-30B-A3B", "DeepSeek-V3"])
@pytest.mark.parametrize("plan", [Deployment(tp=4), Deployment(tp=2, ep=2), Deployment(tp=4, ep=4)])
def test_tensor_parallel_devices_share_the_work(name, plan):
    """FLOP of all devices is at least the model's, and at most what copied parts add."""
    architecture = load_architecture(name)
    step = decode_step(sequences=64.0, context=1000.0)
    alone = matmul_flop(step_ops(architecture, Deployment(), FORMATS, step))
    shared = plan.tp * matmul_flop(step_ops(architecture, plan, FORMATS, step))
    assert alone * (1 - 1e-9) <= shared <= 1.35 * alone


def test_decode_reads_the_cache_once():
    """Llama-3.1-70B, 16 sequences of 1,000: 80 layers x 2 x 8 heads x 128 x 2 B a token."""
    ops = step_ops(load_architecture("Llama-3.1-70B"), Deployment(), FORMATS,
                   decode_step(sequences=16.0, context=1000.0))
    read = sum(op.repeats * op.state_bytes for op in ops)
    assert read == pytest.approx(16 * 1001 * 327_680)


def test_prefill_attention_counts_half_the_square():
    """Causal scores of 4,096 tokens: 4 x layers x heads x dim x s (s + 1) / 2."""
    ops = step_ops(load_architecture("Llama-3.1-8B"), Deployment(), FORMATS,
                   prefill_step(tokens=4096.0))
    flop = sum(op.repeats * op.flop for op in ops if op.kind == "attention")
    assert flop == pytest.approx(4 * 32 * 32 * 128 * 4096 * 4097 / 2)


def test_chunks_of_a_prompt_do_the_work_of_the_whole():
    architecture = load_architecture("gemma-3-27b-it")
    whole = step_ops(architecture, Deployment(), FORMATS, prefill_step(tokens=4096.0))
    chunks = [step_ops(architecture, Deployment(), FORMATS, prefill_step(tokens=1024.0, past=p))
              for p in (0.0, 1024.0, 2048.0, 3072.0)]

    def scores(ops):
        return sum(float(op.repeats * op.flop) for op in ops if op.kind == "attention")

    assert sum(map(scores, chunks)) == pytest.approx(scores(whole))


def test_window_scores_by_counting():
    window, tokens = 5, 23
    counted = sum(min(i, window) for i in range(1, tokens + 1))
    assert pairs_from_start(tokens=tokens, window=window) == counted
    assert attended_pairs(new=7, past=16, window=window) == sum(
        min(i, window) for i in range(17, 24))


def test_arrays_give_what_scalars_give():
    import numpy as np

    architecture = load_architecture("Qwen3-30B-A3B")
    batches = np.array([1.0, 8.0, 64.0])
    together = step_ops(architecture, Deployment(tp=2), FORMATS,
                        decode_step(sequences=batches, context=2000.0))
    for i, batch in enumerate(batches):
        alone = step_ops(architecture, Deployment(tp=2), FORMATS,
                         decode_step(sequences=float(batch), context=2000.0))
        for one, many in zip(alone, together, strict=True):
            for name in ("flop", "weight_bytes", "activation_bytes", "state_bytes"):
                value = np.broadcast_to(getattr(many, name), 3)[i]
                assert float(getattr(one, name)) == pytest.approx(float(value)), (one.name, name)


# Four parts on grids that do not broadcast together, as a table asks for them.
PARTS = {"tokens": Step(decode_sequences=np.arange(1.0, 6.0)[:, None]),
         "prefill": Step(prefill_tokens=np.array([[8.0], [64.0], [512.0]]), prefill_sequences=1.0,
                         prefill_past=np.array([[0.0, 100.0]]), finished_prompts=0.0),
         "decode": Step(decode_sequences=np.array([[1.0], [3.0], [8.0], [9.0]]),
                        decode_context=np.array([[10.0, 4000.0]])),
         "logits": Step(decode_sequences=np.array([[1.0], [7.0]]))}


@pytest.mark.parametrize("part", range(4))
def test_an_op_depends_on_nothing_but_what_it_follows(part):
    plans = (Deployment(), Deployment(tp=4, pp=2, ep=8, attention_dp=2))
    for name, plan in itertools.product(list_names("models")[part::4], plans):
        model = load_architecture(name)
        together = part_ops(model, plan, FORMATS, PARTS)
        for follows, step in PARTS.items():
            alone = [op for op in step_ops(model, plan, FORMATS, step) if op.follows == follows]
            mine = [op for op in together if op.follows == follows]
            assert [op.name for op in mine] == [op.name for op in alone], name
            for a, b in zip(mine, alone, strict=True):
                for field in ("repeats", "flop", "memory_bytes", "message_bytes"):
                    assert np.array_equal(getattr(a, field), getattr(b, field)), (name, a.name)
                assert all(np.array_equal(a.shape[k], b.shape[k]) for k in b.shape), (name, a.name)


def test_symbols_pass_through():
    sympy = pytest.importorskip("sympy")
    batch = sympy.Symbol("B", positive=True)
    block = Block(Attention(8, 2, 64), DenseFfn(2048))
    tiny = Architecture("tiny", "llama", 512, 1000, 4096, ((block, 2),), (), (), True, ())
    ops = step_ops(tiny, Deployment(), FORMATS, decode_step(sequences=batch, context=100))
    flop = sum(op.repeats * op.flop for op in ops)
    assert float(flop.subs(batch, 3)) == pytest.approx(float(sum(
        op.repeats * op.flop for op in step_ops(tiny, Deployment(), FORMATS,
                                                decode_step(sequences=3, context=100)))))


@pytest.mark.parametrize(("model", "tp", "sums"), [
    ("MiniMax-M2.5", 4, 1), ("MiniMax-M2.5", 1, 0), ("Qwen3-32B", 4, 0)])
def test_a_norm_over_all_heads_is_summed_over_the_devices_that_share_them(model, tp, sums):
    ops = step_ops(load_architecture(model), Deployment(tp=tp), FORMATS,
                   decode_step(sequences=8.0, context=100.0))
    assert sum(op.name == "qk_norm_all_reduce" for op in ops) == sums


def test_latent_projections_share_one_product():
    ops = step_ops(load_architecture("DeepSeek-V3"), Deployment(tp=8), FORMATS,
                   decode_step(sequences=8.0, context=100.0))
    names = [op.name for op in ops]
    assert "qkv_a_proj" in names and "kv_a_proj" not in names
    assert next(op.shape["n"] for op in ops if op.name == "qkv_a_proj") == 1536 + 576


@pytest.mark.parametrize(("engine", "there", "back", "copies"), [
    ("vllm", "all_gather", "reduce_scatter", 4.0), ("sglang", "all_to_all", "all_to_all", 3.599548),
    ("trtllm", "all_to_all", "all_to_all", 3.599548)])
def test_tokens_of_attention_copies_go_to_their_experts_as_the_engine_sends_them(
        engine, there, back, copies):
    """vLLM gathers all copies' tokens; others send each to the devices with any of its 8 experts:
    4 (1 - (3/4)^8) of 4."""
    plan = Deployment(engine=engine, attention_dp=4, ep=4)
    ops = {op.name: op for op in step_ops(load_architecture("Qwen3-30B-A3B"), plan, FORMATS,
                                          decode_step(sequences=40.0, context=100.0))}
    assert ops["dispatch"].labels["collective"] == there
    assert ops["combine"].labels["collective"] == back
    for name in ("dispatch", "combine"):
        assert float(ops[name].message_bytes) == pytest.approx(10 * copies * 2048 * 2, rel=1e-5)
