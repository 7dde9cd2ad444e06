"""What each device holds: sums over ranks, copies, padding, stages, formats."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import (
    WeightFormats,
    device_elements,
    device_weights,
    fullest_weights,
    stage_bounds,
    weight_formats,
)
from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, ExpertFfn, LatentAttention, Weight

BYTES = WeightFormats(8.0, 8.0, 8.0, 8.0)          # bytes are elements


def decoder(layers: int = 32, *, tied: bool = False, experts: int = 0, d_model: int = 4096,
            vocab: int = 128256, latent: bool = False) -> Architecture:
    mixer = (LatentAttention(32, 1536, 512, 128, 64, 128) if latent else Attention(32, 8, 128))
    ffn = ExpertFfn(experts, 8, 1408, shared_d_ff=2816) if experts else DenseFfn(14336)
    block = Block(mixer, ffn, (Weight("norms", (2 * d_model,), "norm"),))
    head = () if tied else (Weight("head", (d_model, vocab), "head", "vocab"),)
    return Architecture("test", "test", d_model, vocab, 8192, ((block, layers),),
                        (Weight("embed", (vocab, d_model), "embedding", "vocab"),), head, tied,
                        (Weight("norm", (d_model,), "norm"),))


def elements(architecture: Architecture) -> int:
    parts = [*architecture.embedding, *architecture.head, *architecture.final]
    for block, count in architecture.blocks:
        parts += list(block.weights(architecture.d_model)) * count
    return sum(part.elements for part in parts)


def test_one_device_holds_every_parameter() -> None:
    found = fullest_weights(decoder(), Deployment(), BYTES)
    assert found.total == elements(decoder()) == 8_030_261_248
    assert found.by_role["norm"] == 65 * 4096


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_tensor_parallel_ranks_add_up(tp: int) -> None:
    """Everything but the norms is divided; those are copied."""
    norms = 65 * 4096
    found = fullest_weights(decoder(), Deployment(tp=tp), BYTES)
    assert tp * found.total - (tp - 1) * norms == elements(decoder())


def test_kv_projections_are_copied_beyond_their_heads() -> None:
    key = Weight("k_proj", (4096, 1024), "attention", "kv")
    for tp, share in ((1, 1.0), (8, 0.125), (16, 0.125), (32, 0.125)):
        assert device_elements(key, Deployment(tp=tp), 8) == key.elements * share


def test_vocabulary_is_padded_to_tiles_before_division() -> None:
    embed = Weight("embed", (128167, 64), "embedding", "vocab")
    assert device_elements(embed, Deployment()) == 128167 * 64
    assert device_elements(embed, Deployment(tp=8)) == 128192 / 8 * 64


def test_latent_down_projections_are_whole() -> None:
    one, many = (fullest_weights(decoder(latent=True), Deployment(tp=t), BYTES) for t in (1, 8))
    down = 32 * 4096 * (1536 + 512 + 64)
    assert one.by_role["attention"] / 8 < many.by_role["attention"]
    assert many.by_role["attention"] == pytest.approx((one.by_role["attention"] - down) / 8 + down)


@pytest.mark.parametrize(("tp", "adp", "ep"), [(8, 1, 1), (8, 1, 8), (4, 2, 8), (1, 8, 8),
                                               (8, 1, 2), (2, 4, 4)])
def test_experts_divide_over_the_whole_group(tp: int, adp: int, ep: int) -> None:
    deployment = Deployment(tp=tp, attention_dp=adp, ep=ep)
    model = decoder(experts=64)
    found = fullest_weights(model, deployment, BYTES).by_role
    whole = fullest_weights(model, Deployment(), BYTES).by_role
    assert found["expert"] * tp * adp == whole["expert"]
    assert found["router"] == whole["router"]
    assert found["attention"] * tp == whole["attention"]
    assert found["shared_expert"] * tp == whole["shared_expert"]


def test_stages_cover_the_model_and_its_ends() -> None:
    stages = device_weights(decoder(30), Deployment(pp=4), BYTES)
    assert [stage.layers for stage in stages] == [(0, 7), (7, 15), (15, 23), (23, 30)]
    assert sum(stage.total for stage in stages) == elements(decoder(30))
    assert "embedding" in stages[0].by_role
    assert "head" in stages[-1].by_role
    assert not {"embedding", "head"} & set(stages[1].by_role)


def test_a_tied_embedding_is_copied_to_the_last_stage() -> None:
    stages = device_weights(decoder(tied=True), Deployment(pp=2), BYTES)
    assert stages[0].by_role["embedding"] == stages[1].by_role["embedding"]
    assert sum(stage.total for stage in stages) == elements(decoder(tied=True)) + 128256 * 4096


def test_shared_blocks_are_held_once() -> None:
    plain = decoder(4)
    block = Block(Attention(32, 8, 128), DenseFfn(14336), (), shared="s")
    shared = Architecture("s", "s", 4096, 128256, 8192, ((block, 4),), plain.embedding, (), True,
                          ())
    one = sum(weight.elements for weight in block.shared_weights(4096))
    assert fullest_weights(shared, Deployment(), BYTES).total == one + 128256 * 4096


def test_too_many_stages() -> None:
    with pytest.raises(BadInput, match="use 1 to 4"):
        stage_bounds(4, 5)


@pytest.mark.parametrize(("weights", "experts", "dense_bits", "expert_bits", "embedding_bits"), [
    (None, None, 16, 16, 16), ("fp8", None, 8, 8, 16), ("fp8", "mxfp4", 8, 4.25, 16),
    ("q8_0", None, 8.5, 8.5, 8.5), ("fp32", None, 32, 32, 32), (None, "mxfp4", 16, 4.25, 16)])
def test_formats(weights: str | None, experts: str | None, dense_bits: float, expert_bits: float,
                 embedding_bits: float) -> None:
    found = weight_formats(decoder(), Deployment(weights=weights, experts=experts))
    assert (found.dense, found.experts, found.embedding) == pytest.approx(
        (dense_bits, expert_bits, embedding_bits))
    assert found.bits(Weight("bias", (128,), "attention")) == (32 if weights == "fp32" else 16)
    assert found.bits(Weight("router", (8, 8), "router")) == (32 if weights == "fp32" else 16)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([1, 2, 4, 8, 16, 32]), st.sampled_from([1, 2, 3, 4, 7]),
       st.sampled_from([0, 64]), st.booleans())
def test_more_devices_never_hold_more_each(tp: int, pp: int, experts: int, tied: bool) -> None:
    model = decoder(8, tied=tied, experts=experts)
    here = fullest_weights(model, Deployment(tp=tp, pp=pp), BYTES).total
    assert fullest_weights(model, Deployment(tp=2 * tp, pp=pp), BYTES).total <= here
    total = sum(stage.total for stage in device_weights(model, Deployment(tp=tp, pp=pp), BYTES))
    assert tp * total >= elements(model)
