"""Rules: for each audited claim, what to compute from which inputs; and grading by them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.explain.claims.claimed import Claimed, read_claimed
from ridgeline.explain.claims.table import ClaimRow, audited
from ridgeline.explain.claims.verdict import Case, Verdict, judge
from ridgeline.explain.expressions import evaluate

__all__ = ["Rule", "grade_by_rule", "rule_for", "rules"]

MODES = ("equals", "about", "holds", "direction")
_NUMBER = re.compile(r"(?<![\w.'])\d+(?:,\d{3})*\.?\d*(?:[eE][-+]?\d+)?")
_NAMED = re.compile(r"\b([A-Za-z_]\w*)\s*=\s*(\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?)")
_KEYS = {"value", "cases", "given", "mode", "claimed", "conclusion", "exact", "unchecked"}
_BYTES = ("B", "bytes", "kB", "MB", "GB", "TB", "GiB", "MiB", "MB / 1K tokens")


@dataclass(frozen=True)
class Rule:
    """How one claim is computed again.

    Attributes:
        cases: expressions by reading ("" when there is one).
        given: inputs by name, in SI.
        mode, exact, conclusion: see `judge`; the conclusion is an expression.
        claimed: the claimed value in SI where the table's words cannot be read.
        unchecked: why nothing can be computed; "" when something can.
    """

    cases: Mapping[str, str]
    given: Mapping[str, float] = field(default_factory=dict)
    mode: str = "equals"
    exact: bool = False
    conclusion: str = ""
    claimed: str = ""
    unchecked: str = ""

    def rebound(self, old: str, new: str) -> Rule:
        """The rule with the inputs of a row whose numbers differ from the audited ones.

        Numbers that changed where the wording around them is the same change here too; so do
        inputs the row names (`P = 7e9`).
        """
        changed = _changes(old, new)
        given = {k: changed.get(v, v) for k, v in self.given.items()}
        given |= {k: float(v.replace(",", "")) for k, v in _NAMED.findall(new)
                  if k in given and old != new}
        left = {o: n for o, n in changed.items() if o not in self.given.values()}
        cases = {k: _replaced(v, left) for k, v in self.cases.items()}
        return Rule(cases, given, self.mode, self.exact, _replaced(self.conclusion, left),
                    self.claimed, self.unchecked)


@cache
def rules() -> dict[str, Rule]:
    """Every rule by claim id.

    Raises:
        BadInput: a rule that is not of the form, naming it.
    """
    place = resources.files("ridgeline.explain.claims").joinpath("rules.toml")
    return {name: _rule(name, entry) for name, entry
            in tomllib.loads(place.read_text("utf-8")).items()}


def _rule(name: str, entry: dict[str, Any]) -> Rule:
    if unknown := set(entry) - _KEYS:
        raise BadInput(f"rule {name} has unknown keys: {', '.join(sorted(unknown))}")
    cases = entry.get("cases") or ({"": entry["value"]} if "value" in entry else {})
    if not cases and "unchecked" not in entry:
        raise BadInput(f"rule {name} computes nothing and does not say why")
    if entry.get("mode", "equals") not in MODES:
        raise BadInput(f"rule {name}: mode must be one of {', '.join(MODES)}")
    return Rule(cases, {k: float(v) for k, v in entry.get("given", {}).items()},
                entry.get("mode", "equals"), bool(entry.get("exact", False)),
                entry.get("conclusion", ""), entry.get("claimed", ""), entry.get("unchecked", ""))


def rule_for(row: ClaimRow) -> tuple[Rule, ClaimRow] | None:
    """The rule that fits a row, with the audited row it was written for, or None.

    A row may bring a rule of its own. Else it fits when it says the same (quote and quantity), or
    bears the same id and quantity and its inputs differ in numbers only.

    Raises:
        UnknownName: the row's mode is none.
    """
    if row.rule:
        return Rule({"": row.rule}, _given(row.inputs), _mode(row.mode)), row
    for known in audited().values():
        if (known.quote, known.quantity) == (row.quote, row.quantity):
            return rules()[known.id], known
    same = audited().get(row.id)
    if same and same.quantity == row.quantity and _wording(same.inputs) == _wording(row.inputs):
        return rules()[row.id], same
    return None


def _given(text: str) -> dict[str, float]:
    """Inputs a row gives by name: "P=70e9; D=2e12"."""
    return {name: float(number.replace(",", "")) for name, number in _NAMED.findall(text)}


def _mode(text: str) -> str:
    if text and text not in MODES:
        raise UnknownName.among("mode", text, MODES, "Modes: " + ", ".join(MODES))
    return text or "equals"


def grade_by_rule(row: ClaimRow, rule: Rule, known: ClaimRow) -> tuple[Verdict, tuple[Case, ...]]:
    """Verdict and computed values of a row.

    Raises:
        BadInput: the row's own inputs leave no value (a zero where a size should be).
    """
    if rule.unchecked:
        return Verdict("not checkable", rule.unchecked), ()
    rule = rule.rebound(known.inputs, row.inputs)
    cases = tuple(Case(label, _plain(evaluate(text, rule.given)))
                  for label, text in rule.cases.items())
    conclusion = bool(evaluate(rule.conclusion, rule.given)) if rule.conclusion else None
    claimed = _claimed(row, rule, known)
    stored = row.unit in _BYTES
    return judge(cases, claimed, mode=rule.mode, exact=rule.exact, stored=stored,
                 conclusion=conclusion), cases


def _plain(value: float | bool | str) -> float | bool:
    if isinstance(value, str):
        raise BadInput(f"a rule must compute a number or a truth, not {value!r}")
    return value


def _claimed(row: ClaimRow, rule: Rule, known: ClaimRow) -> Claimed | None:
    """The claimed value; the rule's reading of the words while they are the audited ones."""
    if rule.mode in ("holds", "direction"):
        return None
    same = row.claimed_value == known.claimed_value
    text, unit = (rule.claimed, "") if rule.claimed and same else (row.claimed_value, row.unit)
    try:
        return read_claimed(text, unit, rule.given)
    except RidgelineError:
        return None


def _wording(text: str) -> str:
    """A text with its numbers blanked."""
    return " ".join(_NUMBER.sub("#", text).split())


def _numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in _NUMBER.findall(text)]


def _changes(old: str, new: str) -> dict[float, float]:
    """Numbers of a text that differ in another of the same wording: {old: new}."""
    if old == new or _wording(old) != _wording(new):
        return {}
    return {a: b for a, b in zip(_numbers(old), _numbers(new), strict=True) if a != b}


def _replaced(text: str, changed: Mapping[float, float]) -> str:
    """An expression with literal numbers replaced; names in quotes stay."""
    if not changed:
        return text
    parts = re.split(r"('[^']*')", text)
    def number(match: re.Match[str]) -> str:
        return repr(changed.get(float(match[0].replace(",", "")), float(match[0])))
    return "".join(p if p.startswith("'") else _NUMBER.sub(number, p) for p in parts)
