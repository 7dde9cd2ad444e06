"""The fitted constants of the training step model, and the spread of what they leave."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.training.step_time import Constants

__all__ = ["shipped", "spread"]


@cache
def _content() -> dict[str, Any]:
    from ridgeline.timing.constants import constants_text

    text = constants_text("training.json")
    if text is None:
        raise BadInput("there are no fitted training constants; run `ridgeline calibrate`")
    found: dict[str, Any] = json.loads(text)
    return found


def shipped() -> Constants:
    """The fitted constants."""
    content = _content()
    return Constants(content["constants"], content["frameworks"])


def spread(experts: bool) -> tuple[float, float, float, float]:
    """Factors on a step time that end its 80 % and 95 % intervals, models held out.

    Args:
        experts: for a mixture of experts, whose runs scatter more.
    """
    low80, high80, low95, high95 = _content()["spread"]["moe" if experts else "dense"]
    return low80, high80, low95, high95
