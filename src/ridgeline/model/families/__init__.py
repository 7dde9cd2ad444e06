"""Readers of the model types whose layers a plain `Style` cannot tell: one function a type.

Each module has functions `(fields, name) -> Architecture` and a table `FAMILIES` of the
`model_type`s they read. A new type is one function and one entry in the nearest module.
"""

from __future__ import annotations

from ridgeline.model.families import (
    gemma,
    matrix_state,
    plain,
    sparse,
    state_space,
    varied,
)
from ridgeline.model.families.blocks import Family

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Family] = {
    **plain.FAMILIES, **varied.FAMILIES, **sparse.FAMILIES, **matrix_state.FAMILIES,
    **state_space.FAMILIES, **gemma.FAMILIES}
