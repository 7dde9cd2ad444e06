"""Grade a table of claims: by its rule, by its words, or by the arithmetic of its inputs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ridgeline.errors import RidgelineError
from ridgeline.explain.claims import VERDICTS, Case, Claimed, ClaimRow, judge, read_claimed
from ridgeline.explain.claims.claimed import unit_scale
from ridgeline.explain.claims.rules import grade_by_rule, rule_for
from ridgeline.explain.claims.table import audited
from ridgeline.explain.expressions import evaluate
from ridgeline.questions.answer import Answer, Table
from ridgeline.questions.check import check_text
from ridgeline.questions.claim_text import Amount, TextClaim, read_claim

__all__ = ["Graded", "check_audited", "check_file", "check_table", "csv_text", "grade",
           "grade_freely", "markdown"]

# Limits in the words of a table: a claim within its limit stands, one beyond it does not.
_CLASSES = {"impossible": "wrong", "implausible": "depends", "possible": "correct"}
_STORED = ("B", "bytes", "kB", "MB", "GB", "TB", "GiB", "MiB", "MB / 1K tokens")
_FEW = 60


@dataclass(frozen=True)
class Graded:
    """A row with its verdict.

    Attributes:
        row: as read.
        verdict: one of VERDICTS.
        reason: what it rests on.
        way: rule, words, arithmetic, or nothing.
        computed: values by label.
    """

    row: ClaimRow
    verdict: str
    reason: str
    way: str
    computed: tuple[Case, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether an audit of the table came to the same class; None without one."""
        return None if not self.row.verdict else self.row.verdict == self.verdict


def check_audited() -> Answer:
    """Grade the claims that come with the package against the audit's verdicts."""
    return check_table(tuple(audited().values()), name="the audited claims")


def check_file(path: str) -> Answer:
    """Grade a CSV file of claims.

    Raises:
        BadInput: it cannot be read as a table of claims.
    """
    from ridgeline.explain.claims import read_claims

    return check_table(read_claims(path), name=path)


def check_table(rows: Sequence[ClaimRow], *, name: str = "claims",
                progress: Callable[[Iterable[ClaimRow]], Iterable[ClaimRow]] | None = None
                ) -> Answer:
    """Grade every row of a table of claims.

    Args:
        rows: as `read_claims` gives them; a column `verdict`, where there is one, is compared
            with and never read for the grade.
        name: what to call the table.
        progress: wraps the rows, to show a bar.

    Returns:
        an Answer with the count of each verdict, `agreement` with the verdicts the table brought,
        and tables "claims" (a row each) and "disagreements".
    """
    found = [grade(row) for row in (progress(rows) if progress else rows)]
    counts = Counter(g.verdict for g in found)
    judged = [g for g in found if g.agrees is not None]
    same = sum(bool(g.agrees) for g in judged)
    quantities: dict[str, str | int | bool | None] = {
        "claims": len(found), **{v.replace(" ", "_"): counts[v] for v in VERDICTS}}
    if judged:
        quantities |= {"compared": len(judged), "agreement": same}
    tables = [Table.of("claims", {"id": "1", "claim": "1", "verdict": "1", "by": "1", "why": "1"},
                       [(g.row.id, _short(g.row.quote), g.verdict, g.way, g.reason)
                        for g in found], title=f"Verdicts on {name}")]
    differ = [g for g in judged if not g.agrees]
    if differ:
        tables.append(Table.of(
            "disagreements", {"id": "1", "audit": "1", "here": "1", "why": "1"},
            [(g.row.id, g.row.verdict, g.verdict,
              f"{g.reason}. Audit: {g.row.explanation or g.row.our_value}") for g in differ],
            title="Where the audit says otherwise"))
    head = f"{counts['wrong']} of {len(found)} claims are wrong"
    if judged:
        head += f"; {same} of {len(judged)} verdicts agree with those given"
    return Answer("check", {"table": name, "rows": len(found)}, {"bound": head, **quantities},
                  tuple(tables), notes=(
        "Correct: the computed value agrees; approximately: within 15 % (stored bytes 5 %), or a "
        "typical figure; depends: true of some readings only.",))


def grade(row: ClaimRow) -> Graded:
    """Verdict on one row; a row that cannot be computed says why."""
    try:
        found = rule_for(row)
        if found is None:
            return grade_freely(row)
        verdict, cases = grade_by_rule(row, *found)
    except RidgelineError as error:
        return Graded(row, "not checkable", str(error), "rule")
    return Graded(row, verdict.name, verdict.reason, "rule" if cases else "nothing", cases)


def grade_freely(row: ClaimRow) -> Graded:
    """A row nobody wrote a rule for: the arithmetic of its inputs, else its words."""
    by_sums = _by_arithmetic(row)
    if by_sums is not None:
        return by_sums
    by_words, why = _by_words(row)
    return by_words or Graded(row, "not checkable", why, "nothing")


# --- words ---------------------------------------------------------------------------------------

def _by_words(row: ClaimRow) -> tuple[Graded | None, str]:
    """The verdict of the sentence, and the reason when there is none."""
    why = "nothing in its words or inputs can be computed"
    claimed = _claimed(row)
    for text in _sentences(row):
        try:
            claim = _led_by(read_claim(text), claimed, row)
            if claim is None or not _of_unit(claim.amounts[:1], row.unit):
                continue
            kind, checked = check_text(claim)
            if claim.amounts[:1] and claim.amounts[0].kind == "ratio" and kind != "ratio":
                continue
        except RidgelineError as error:
            why = str(error).split("; write")[0]
            continue
        verdict = _CLASSES.get(checked.verdict, checked.verdict)
        return Graded(row, verdict, checked.sentence, "words"), ""
    return None, why


# What an amount must be for a table's unit to mean it; other units are not read from words.
_KINDS = {"token_rate": ("tok/s", "tokens/s", "token/s"), "flop": ("FLOP", "TFLOP", "GFLOP"),
          "flop_rate": ("FLOP/s", "TFLOP/s", "PFLOP/s", "TFLOPS"), "params": ("params", "B params"),
          "bandwidth": ("B/s", "GB/s", "TB/s", "Gbit/s"), "intensity": ("FLOP/byte", "OP/byte"),
          "bytes": _STORED, "bytes_per_token": ("MB / 1K tokens", "MB/1K tokens", "B/token",
                                                "kB/token", "KB/token", "MB/token"),
          "seconds": ("s", "ms", "us", "h", "days", "ms/token"), "usd_per_mtok": ("$/Mtok",),
          "tokens_per_param": ("tokens/param",), "share": ("%",), "batch": ("tokens", "sequences"),
          "ratio": ("x",), "layers": ("layers",), "heads": ("heads",),
          "kv_heads": ("heads", "KV heads"), "vocab": ("tokens", "logits"),
          "joules_per_token": ("J/token",), "chip_hours": ("GPU-hours", "GPU hours", "h")}


def _of_unit(amounts: Sequence[Amount], unit: str) -> bool:
    """Whether the leading amount measures what the table's unit says; a table may have none."""
    return not unit or any(unit in _KINDS.get(a.kind, ()) for a in amounts)


def _sentences(row: ClaimRow) -> list[str]:
    """The quote alone, then with what the other columns add."""
    stated = f"{row.quantity} {row.claimed_value} {row.unit}".strip()
    words = [row.quote, f"{row.quote}; {stated}", f"{row.quote}; {stated}; {row.inputs}"]
    return list(dict.fromkeys(w for w in words if len(w) < 1500))


def _claimed(row: ClaimRow) -> Claimed | None:
    try:
        return read_claimed(row.claimed_value, row.unit)
    except RidgelineError:
        return None


def _led_by(claim: TextClaim, claimed: Claimed | None, row: ClaimRow) -> TextClaim | None:
    """The claim with the amount that the table states in front, or None when it has none such.

    A sentence holds several amounts; the table says which one is claimed.
    """
    if claimed is None:
        return None if row.claimed_value else claim
    values = {claimed.low, claimed.high}
    first = [a for a in claim.amounts if any(
        math.isclose(v, end, rel_tol=1e-6) for v in (a.value, a.low) for end in values)]
    # The same number may be read as a count and as a rate: the table's unit decides.
    first = [a for a in first if _of_unit([a], row.unit)] or first
    if not first:
        return None
    rest = [a for a in claim.amounts if a not in first and a.kind != first[0].kind
            and a.value != first[0].value]
    return dataclasses.replace(claim, amounts=(*first, *rest))


# --- arithmetic ----------------------------------------------------------------------------------

def _by_arithmetic(row: ClaimRow) -> Graded | None:
    """The best agreement of any sum in the inputs, or in the quote, with the claimed value."""
    best: Graded | None = None
    for text in _pieces(row):
        for letters in ({}, *_LETTERS_AS):
            names = {**letters, **_names(row.inputs)}
            value = _sum(text, names)
            for claimed in _readings(row, names) if value is not None else ():
                if not 0.1 < claimed.value / (value or math.inf) < 10:
                    # That far apart, the sum is a step on the way and not the claimed quantity.
                    continue
                verdict = judge((Case(text, value or 0.0),), claimed, stored=row.unit in _STORED)
                graded = Graded(row, verdict.name, verdict.reason, "arithmetic",
                                (Case(text, value or 0.0),))
                if best is None or _better(graded, best):
                    best = graded
    return best


def _better(first: Graded, second: Graded) -> bool:
    return VERDICTS.index(first.verdict) < VERDICTS.index(second.verdict)


# Letters without a value stand for any: a formula must come out alike, so two settings that share
# no factor are both tried and a sum that changes with them is compared with the claim in the same
# letters only.
_LETTERS_AS = ({"P": 7e9, "B": 64.0, "D": 4099.0, "F": 11003.0, "N": 1031.0, "G": 8.0},)


def _readings(row: ClaimRow, names: dict[str, float]) -> list[Claimed]:
    """The claimed value in SI, and in the table's own unit, in which its inputs may be."""
    found = []
    for unit in dict.fromkeys((row.unit, "")):
        try:
            claimed = read_claimed(row.claimed_value, unit, names)
        except RidgelineError:
            continue
        found.append(claimed)
        if "param" in row.unit and claimed.low >= 1e8:
            # Parameters are added up in billions.
            found.append(dataclasses.replace(claimed, low=claimed.low / 1e9,
                                             high=claimed.high / 1e9))
    return found


_UNIT = re.compile(r"(\d[\d,]*\.?\d*(?:e[-+]?\d+)?)\s?(GB/s|TB/s|GB|TB|MB|GiB|Gbit/s|ms|us|[TBMkK])"
                   r"(?![\w/])")
_LETTERS = {"T": 1e12, "B": 1e9, "M": 1e6, "k": 1e3, "K": 1e3}
_IDLE_WORDS = re.compile(r"\b(?:bytes?|tokens?|params?|bits?|GPUs?|chips?|FLOP|per|direction|each|"
                         r"exactly|about|or so)\b")


_SUM = re.compile(r"(?<![\w.-])\(?\d[\d.,]*(?:e[-+]?\d+)?\)?(?:\s*[-+*/x×^]\s*\(?"
                  r"\d[\d.,]*(?:e[-+]?\d+)?\)?)+(?![\w.])")


def _pieces(row: ClaimRow) -> list[str]:
    """Every piece of the inputs that may be a sum, then sums of plain numbers in the quote."""
    found = []
    for piece in re.split(r"[;:]|,(?!\d{3})|\bwith\b|->|(?<![=<>])=(?!=)", row.inputs):
        found.append(piece.strip())
        plain = _UNIT.sub(_scaled, piece)
        found += [m for m in _SUM.findall(plain) if m != piece.strip()]
    sums = [p for p in dict.fromkeys(found) if re.search(r"[-+*/^×]|log2|sqrt|\dx|\sx\s", p)
            and re.search(r"\d", p)]
    # A quote's own sum says how the figure was made, where the inputs do not; 9.1 x 10^14 is none.
    return sums or [m for m in _SUM.findall(row.quote) if not re.search(r"10\s?\^", m)]


def _sum(piece: str, names: dict[str, float]) -> float | None:
    """The value of a piece in SI; None when it is no sum."""
    text = _IDLE_WORDS.sub("", _UNIT.sub(_scaled, piece)).strip()
    if names:
        # "2BDF/DF": letters side by side are one factor.
        text = re.sub(r"(\d*\.?\d*)((?:[A-Z](?![a-z]))+)(?![\w(])", lambda m: _factor(m, names),
                      text)
    try:
        value = evaluate(text, names)
    except RidgelineError:
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _factor(match: re.Match[str], names: dict[str, float]) -> str:
    """A product of letters in brackets, or the text as it is where a letter is unknown."""
    if match[2] in names or any(letter not in names for letter in match[2]):
        return match[0] if not match[1] else f"({match[1]}*{match[2]})"
    return "(" + "*".join([*([match[1]] if match[1] else []), *match[2]]) + ")"


def _scaled(match: re.Match[str]) -> str:
    """A number with its unit as a number in SI."""
    scale = _LETTERS.get(match[2]) or unit_scale(match[2])
    return repr(float(match[1].replace(",", "")) * scale)


def _names(text: str) -> dict[str, float]:
    """Values the inputs give by name: P=70e9."""
    found = {}
    for name, number in re.findall(r"\b([A-Za-z]\w{0,11})\s?=\s?(\d[\d,]*\.?\d*(?:e\d+)?)", text):
        found[name] = float(number.replace(",", ""))
    return found


def _short(text: str) -> str:
    return text if len(text) <= _FEW else text[:_FEW - 3] + "..."


def markdown(answer: Answer) -> str:
    """The page of a graded table: counts, policy, disagreements, every row."""
    rows = {t.name: t for t in answer.tables}
    values = answer.quantities
    lines = ["# Claims", "", "Generated by `ridgeline check --audited --markdown docs/claims.md`. "
             "Every value is computed from the claim's own inputs through the package's formulas "
             "(`src/ridgeline/explain/claims/rules.toml`); the verdicts of the audit are compared "
             "with, never read.", "", f"**{values['bound']}.**", "",
             "| verdict | claims |", "|---|---|"]
    lines += [f"| {v} | {values[v.replace(' ', '_')]} |" for v in VERDICTS]
    from ridgeline.explain.claims import verdict as policy

    text = (policy.__doc__ or "").split("\n\n", 1)[1]
    lines += ["", "## Policy", "", "```", text.strip("\n"), "```"]
    if differ := rows.get("disagreements"):
        lines += ["", "## Disagreements", "", "| id | audit | here | why |", "|---|---|---|---|"]
        lines += [_row(r) for r in differ.rows]
    lines += ["", "## All claims", "", "| id | claim | verdict | why |", "|---|---|---|---|"]
    lines += [_row((r[0], r[1], r[2], r[4])) for r in rows["claims"].rows]
    return "\n".join(lines) + "\n"


def csv_text(answer: Answer) -> str:
    """The graded table as CSV: id, claim, verdict, by, why."""
    import csv
    import io

    out = io.StringIO()
    table = next(t for t in answer.tables if t.name == "claims")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.name for c in table.columns])
    writer.writerows(table.rows)
    return out.getvalue()


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"
