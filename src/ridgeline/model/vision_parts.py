"""Matrices and layers that vision and audio towers are made of."""

from __future__ import annotations

from ridgeline.model.tensors import Weight, linear, norm


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
