"""What each kind of mixer computes, reads and sends: one function a class of `model.parts`.

A function registers itself with `mixer_ops` when its module is imported, which this package does.
"""

from __future__ import annotations

from ridgeline.work.mixers import attention, state
from ridgeline.work.mixers.parts import mixer_ops

__all__ = ["attention", "mixer_ops", "state"]
