"""Vision towers and projectors, as tensors: what multimodal checkpoints hold beside the text.

A new one is a function in `own` or `borrowed` and an entry in the table `TOWERS` there.
"""

from __future__ import annotations

from ridgeline.model.fields import Fields
from ridgeline.model.tensors import Weight, elements
from ridgeline.model.towers import borrowed, own
from ridgeline.model.towers.parts import Tower

__all__ = ["TOWERS", "tower"]

TOWERS: dict[str, Tower] = {**own.TOWERS, **borrowed.TOWERS}
# Types whose published configs may leave the tower's group out because it is all defaults.
_DEFAULTED = frozenset({"mistral3", "fuyu"})


def tower(outer: Fields, d_model: int) -> tuple[Weight, ...]:
    """Tensors of the vision tower and projector that a config gives; none for text models.

    Towers of types not listed in `TOWERS` are not counted.
    """
    kind = outer.text("model_type")
    make = TOWERS.get(kind)
    group = outer.sub("vision_config")
    if make is None or (group is None and kind not in _DEFAULTED):
        return ()
    made = make(group or Fields({}, outer.where), d_model, outer)
    return made if elements(made) else ()
