"""Every error a user can meet, in one tree.

    RidgelineError
    ├── BadInput (ValueError)          a value, file or flag is wrong: one line, exit 2
    │   └── UnknownName (KeyError)     a name is not in the catalog: nearest names given
    ├── Infeasible                     the question is sound and the answer is no: exit 3
    └── MissingExtra (ImportError)     an optional package is needed: the line to type

A message says what was wrong, the value seen, what is accepted, and the nearest fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RidgelineError(Exception):
    """Base of all errors raised on purpose by Ridgeline."""

    exit_code = 2

    def __str__(self) -> str:
        # KeyError would print its message quoted; every error here prints as one plain line.
        return " ".join(str(part) for part in self.args)


class BadInput(RidgelineError, ValueError):
    """The caller gave something impossible; the message names it and what is accepted."""


class UnknownName(BadInput, KeyError):
    """A name that is not in a catalog."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
        """Build the error with the nearest known names.

        Args:
            kind: what the name should have been ("chip", "model").
            name: the name as given.
            known: every accepted name.
            hint: a closing sentence, for instance the command that lists them.
        """
        close = nearest(name, known)
        text = f"unknown {kind} {name!r}"
        if close:
            text += "; did you mean " + " or ".join(repr(c) for c in close) + "?"
        if hint:
            text += ("" if text.endswith("?") else ".") + f" {hint}"
        return cls(text)


class Infeasible(RidgelineError):
    """The question is well formed and the answer is that it cannot be done."""

    exit_code = 3


class MissingExtra(RidgelineError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def needed(cls, what: str, extra: str) -> MissingExtra:
        """Name what needs the package and the command that installs it."""
        return cls(f"{what} needs an optional package; install it with: "
                   f"pip install 'ridgeline[{extra}]'")


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names closest to `name`, best first, compared without case."""
    by_lower = {k.lower(): k for k in sorted(known)}   # a set has no order of its own
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.5)
    return [by_lower[f] for f in found]
