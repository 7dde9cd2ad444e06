"""Imported once by the process that worker processes start from, so that each starts warm."""

from __future__ import annotations

import contextlib
import importlib

from ridgeline.errors import MissingExtra
from ridgeline.questions.registry import QUESTIONS, ask


def _warm() -> None:
    """Load every question's module, and the tables that one answer needs."""
    for question in QUESTIONS.values():
        for place in (question.ask, *question.figures):
            importlib.import_module(f"ridgeline.questions.{place.partition(':')[0]}")
    for name in ("estimate", "fit", "roofline"):
        ask(name, {"model": "Llama-3.1-8B", "machine": "H100-SXM"})


# A question whose extra is not installed says so when it is asked.
with contextlib.suppress(MissingExtra):
    _warm()
