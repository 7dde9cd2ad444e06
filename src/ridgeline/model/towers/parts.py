"""What vision and audio towers are made of: matrices, layers, CLIP, SigLIP, Pixtral."""

from __future__ import annotations

from collections.abc import Callable

from ridgeline.model.fields import Fields
from ridgeline.model.tensors import Weight, linear, norm, times

# Reads a tower: (its group of the config, width of the language model, the whole config).
Tower = Callable[[Fields, int, Fields], tuple[Weight, ...]]


def matrix(name: str, d_in: int, d_out: int, bias: bool = True,
           count: int = 1) -> tuple[Weight, ...]:
    """A tower's matrix: replicated, counted with neither attention nor feed-forward."""
    return linear(name, d_in, d_out, "other", bias=bias, shard="replicated", count=count)


def tower_layer(d: int, d_ff: int, *, bias: bool = True, gated: bool = False,
                norm_bias: bool = True, norms: int = 2,
                qkv: int | None = None) -> tuple[Weight, ...]:
    """One transformer layer of a tower: four projections, a feed-forward, norms."""
    width = qkv or d
    return (*matrix("vision.qkv", d, width, bias, 3), *matrix("vision.proj", width, d, bias),
            *matrix("vision.fc1", d, d_ff, bias, 2 if gated else 1),
            *matrix("vision.fc2", d_ff, d, bias), norm("vision.norms", d, norm_bias, norms))


def patches(v: Fields) -> int:
    """Patches of one image; sizes may be one number or one for each side."""
    side, patch = _pair(v, "image_size", 224), _pair(v, "patch_size", 16)
    return max(1, side[0] // patch[0]) * max(1, side[1] // patch[1])


def _pair(v: Fields, name: str, default: int) -> tuple[int, int]:
    if isinstance(v.raw(name), list):
        both = v.counts(name, length=2, low=1, high=100_000) or [default, default]
        return both[0], both[1]
    one = v.count(name, default=default, high=100_000)
    return one, one


def pixels(v: Fields) -> int:
    """Values of one patch: channels * height * width."""
    patch = _pair(v, "patch_size", 16)
    return v.count("num_channels", "in_channels", default=3) * patch[0] * patch[1]


def layers_of(v: Fields, **style: bool) -> tuple[Weight, ...]:
    """All layers of a plain tower."""
    d = v.count("hidden_size", high=100_000)
    return times(tower_layer(d, v.count("intermediate_size"), **style),
                 v.count("num_hidden_layers", high=500))


def clip(v: Fields) -> tuple[Weight, ...]:
    """CLIP: a class token, a norm before and one after the layers."""
    d = v.count("hidden_size", high=100_000)
    return (Weight("vision.class", (d,), "other"),
            *matrix("vision.patch_embed", pixels(v), d, False),
            Weight("vision.positions", (patches(v) + 1, d), "other"), *layers_of(v),
            norm("vision.norm", d, True, 2))


def siglip(v: Fields, *, pooled: bool = True, positions: int = 0) -> tuple[Weight, ...]:
    """SigLIP: no class token; unless told otherwise, an attention pooling head."""
    d, d_ff = v.count("hidden_size", high=100_000), v.count("intermediate_size")
    own = (*matrix("vision.patch_embed", pixels(v), d),
           Weight("vision.positions", (positions or patches(v), d), "other"), *layers_of(v),
           norm("vision.norm", d, True))
    if not v.flag("vision_use_head", default=pooled):
        return own
    return (*own, Weight("pool.probe", (d,), "other"), *matrix("pool.qkv", d, 3 * d),
            *matrix("pool.proj", d, d), norm("pool.norm", d, True), *matrix("pool.fc1", d, d_ff),
            *matrix("pool.fc2", d_ff, d))


def pixtral(v: Fields) -> tuple[Weight, ...]:
    """Pixtral: rotary positions, gated, root-mean-square norms, no biases."""
    d = v.count("hidden_size", high=100_000)
    return (*matrix("vision.patch_embed", pixels(v), d, False), norm("vision.norm", d),
            *layers_of(v, bias=False, gated=True, norm_bias=False))


def encoder(v: Fields) -> tuple[Weight, ...]:
    """The tower that a vision group names, where the outer type leaves the choice open."""
    kind = v.text("model_type", default="clip_vision_model")
    return pixtral(v) if kind == "pixtral" else siglip(v) if "siglip" in kind else clip(v)


def two_layers(d_in: int, d_model: int, bias: bool = True) -> tuple[Weight, ...]:
    """The usual projector of two matrices."""
    return (*matrix("projector.1", d_in, d_model, bias),
            *matrix("projector.2", d_model, d_model, bias))
