"""A claim in plain words, read into what it says: a value with its unit, and what it is about.

    "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16"

The grammar is a list of amounts (a number with a unit), names (model, machine, format) and a few
words; `ACCEPTED` says it in one line. Nothing is guessed: what is left out stays None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ridgeline.errors import BadInput
from ridgeline.questions.claim_names import find_format, find_machine, find_model

__all__ = ["ACCEPTED", "Amount", "TextClaim", "read_claim"]

ACCEPTED = ("a value with a unit and what it is about, such as '100k tok/s prefill of "
            "Llama-3-70B on 8xH100 in bf16', 'Llama-3-70B weights take 140 GB in fp16', "
            "'$0.10/Mtok for Llama-3-70B on 8xH100 at $2/h' or 'training a 70B model on 2T tokens "
            "takes 8.4e23 FLOP'")

_LONGEST = 2000
_LARGEST_EXPONENT = 60
_PLAIN = r"(?:\d+(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)"
_NUMBER = (rf"(?:(?P<lo>{_PLAIN})\s?(?:-|–|to)\s?)?(?P<n>{_PLAIN})"
           r"(?P<e>\s*(?:[eE]|[x×]\s*10\^)[-+]?\d+)?")
_COUNT = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "thousand": 1e3,
          "million": 1e6, "billion": 1e9, "trillion": 1e12, "bn": 1e9, "mn": 1e6}
_SCALE = r"\s?(?P<s>k|K|M|B|T|G|bn|mn|thousand|million|billion|trillion)?"
_TIMES = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0,
          "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0,
          "hours": 3600.0, "day": 86400.0, "days": 86400.0, "week": 604800.0, "weeks": 604800.0,
          "month": 2629800.0, "months": 2629800.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6,
          "millisecond": 1e-3, "milliseconds": 1e-3, "microseconds": 1e-6}
_PER_TIME = r"(?:\s?/\s?|\s+per\s+|\s+a\s+)(?P<t>sec(?:ond)?|s|min(?:ute)?|h(?:our)?|day)\b"
_TOK = r"(?:tok(?:en)?s?)"
_BYTES = {"B": 1.0, "byte": 1.0, "bytes": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
          "TB": 1e12, "PB": 1e15, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
          "Gbit": 0.125e9, "Tbit": 0.125e12, "Gb": 0.125e9, "Tb": 0.125e12, "Mbit": 0.125e6,
          "gb": 1e9, "mb": 1e6}
_BYTE = r"(?P<u>KiB|MiB|GiB|TiB|[kKMGTP]B|Gbit|Tbit|Mbit|Gb|Tb|gb|mb|bytes?)"
_FLOPS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
          "Z": 1e21, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15, "exa": 1e18}
_FLOP = r"(?P<p>[kKMGTPEZ]|mega|giga|tera|peta|exa)?(?:FLOP|flop|OP)"

# (kind, pattern): tried in this order; a span that one has taken is gone for the next.
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("usd_per_mtok", rf"(?:\$\s?|USD\s?){_NUMBER}\s?(?:/|per)\s?(?:1?\s?M(?:illion)?|million)\s?"
                     rf"(?:{_TOK})?\b"),
    ("usd_per_hour", rf"(?:\$\s?|USD\s?){_NUMBER}\s?(?:/|per|an|a)\s?(?:GPU|chip|accelerator)?"
                     r"[- ]?h(?:ou)?r?\b"),
    ("usd", rf"(?:\$\s?|USD\s?){_NUMBER}{_SCALE}\b"),
    ("token_rate", rf"{_NUMBER}{_SCALE}\s?{_TOK}{_PER_TIME}"),
    ("token_rate", rf"{_NUMBER}{_SCALE}\s?(?P<t>tps|TPS)\b"),
    ("intensity", rf"{_NUMBER}\s?(?:FLOPs?|OPs?|flops?)\s?(?:/|per)\s?(?:byte|B)\b"),
    ("bytes_per_token", rf"{_NUMBER}{_SCALE}\s?{_BYTE}?\s?(?:/|per)\s?(?P<k>1?\s?[kK]|1,?000|"
                        rf"1024|thousand)?\s?{_TOK}\b"),
    ("bandwidth", rf"{_NUMBER}\s?(?:{_BYTE}(?:/s|ps|\s+per\s+second)|(?P<g>[GT]bps))\b"),
    ("flop_days", rf"{_NUMBER}\s?{_FLOP}s?(?:/s)?[- ]days?\b"),
    ("flop_rate", rf"{_NUMBER}\s?{_FLOP}(?:s?/s|S|s?\s+per\s+second)\b"),
    ("flop", rf"{_NUMBER}{_SCALE}\s?{_FLOP}s?\b"),
    ("tokens_per_param", rf"{_NUMBER}\s?{_TOK}\s?(?:/|per)\s?param(?:eter)?s?\b"),
    ("chip_hours", rf"{_NUMBER}{_SCALE}\s?(?:[A-Z][A-Z0-9]{{1,6}}\s)?"
                   r"(?:GPU|TPU|chip|accelerator|A100|H100|H200|H800|B200)[- ]?h(?:ou)?rs?\b"),
    ("share", rf"{_NUMBER}\s?(?:%|percent|per cent)"),
    ("joules_per_token", rf"{_NUMBER}\s?(?P<u>m?J|joules?)\s?(?:/|per)\s?{_TOK}\b"),
    ("watts", rf"{_NUMBER}\s?(?P<w>k?)(?:W|watts?)\b"),
    ("bytes", rf"{_NUMBER}\s?{_BYTE}\b"),
    ("batch", rf"(?:batch(?:\s?size)?|\bB|concurrency)\s?(?:of\s|=|>=|>|≥|is\s|at\s)?\s?{_NUMBER}"
              r"(?![\w.]*\d*[BbxX])"),
    ("batch", rf"{_NUMBER}\s(?:concurrent\s)?(?:requests|users|streams|sequences|seqs)\b"),
    ("context", rf"{_NUMBER}{_SCALE}[- ]?(?:{_TOK}[- ])?(?:context|ctx|sequence length|seq len)"),
    ("context", rf"(?:context(?:\s(?:length|of))*|ctx|seq(?:uence)?\s?len(?:gth)?)\s?(?:of\s|=)?"
                rf"\s?{_NUMBER}{_SCALE}\b"),
    ("prompt", rf"{_NUMBER}{_SCALE}[- ]?(?:{_TOK}[- ])?(?:prompts?|inputs?)\b"),
    ("prompt", rf"prompts?\s(?:of\s)?{_NUMBER}{_SCALE}\b"),
    ("tokens", rf"{_NUMBER}{_SCALE}\s?{_TOK}\b"),
    ("params", rf"{_NUMBER}{_SCALE}[- ]?(?:active\s)?param(?:eter)?s?\b"),
    ("context", rf"(?:\bat|@)\s{_NUMBER}(?P<s>k|K)\b"),
    ("params", r"\b(?:(?P<lo>\d+(?:\.\d+)?)\s?(?:-|–|to)\s?)?(?P<n>\d+(?:\.\d+)?)(?P<s>[BTM])\b"),
    ("seconds", rf"{_NUMBER}\s?-?(?P<t>ms|us|µs|milliseconds?|microseconds|secs?|seconds?|s|"
                r"min(?:ute)?s?|hours?|hrs?|h|days?|weeks?|months?)\b"),
    ("ratio", rf"{_NUMBER}\s?(?:[x×](?=[\s,.;)]|$)|times\b|fold\b)"),
    ("layers", rf"{_NUMBER}\s?layers\b"), ("kv_heads", rf"{_NUMBER}\s?(?:KV|kv)[ -]heads\b"),
    ("heads", rf"{_NUMBER}\s?(?:attention |query )?heads\b"),
    ("experts", rf"{_NUMBER}\s?experts\b"),
    ("vocab", rf"(?:vocab(?:ulary)?(?:\ssize)?(?:\s(?:of|is))?)\s?{_NUMBER}{_SCALE}\b"),
    ("chips", rf"{_NUMBER}\s?(?:GPUs?|chips?|cards?|accelerators?|devices?)\b"),
    ("count", _NUMBER),
)
_COMPILED = tuple((kind, re.compile(rf"(?<![\w.$]){p}" if not p.startswith(("(?:\\$", r"(?:\b",
                                                                           "(?:batch", r"\b"))
                                    else p)) for kind, p in _PATTERNS)


@dataclass(frozen=True)
class Amount:
    """A number with its unit, in SI, as it stood in the text.

    `low` is the lower end when a range was given, else the value again.
    """

    kind: str
    value: float
    text: str
    low: float


@dataclass(frozen=True)
class TextClaim:
    """What a sentence says.

    Attributes:
        text: the sentence.
        amounts: every number with a unit, in order.
        model: name of a known model.
        machine: such as "8xH100-SXM".
        format: number format named, as the catalog calls it.
        words: the sentence in lower case, for the checks to look words up in.
    """

    text: str
    amounts: tuple[Amount, ...]
    model: str | None = None
    machine: str | None = None
    format: str | None = None
    words: str = field(default="", repr=False)

    def amount(self, *kinds: str) -> Amount | None:
        """The first amount of one of the kinds, in the order of the kinds."""
        for kind in kinds:
            for found in self.amounts:
                if found.kind == kind:
                    return found
        return None

    def value(self, *kinds: str) -> float | None:
        """Its number."""
        found = self.amount(*kinds)
        return found.value if found else None

    def says(self, *words: str) -> bool:
        """Whether one of the words (regular expressions) stands in the sentence."""
        return any(re.search(rf"(?<![a-z]){w}", self.words) for w in words)


def read_claim(text: str) -> TextClaim:
    """Read a claim.

    Raises:
        BadInput: it is empty, too long, or holds no number; the message says what is accepted.

    >>> claim = read_claim("100k tok/s prefill of Llama-3-70B on 8xH100 in bf16")
    >>> claim.value("token_rate"), claim.machine, claim.format
    (100000.0, '8xH100-SXM', 'bf16')
    """
    plain = " ".join(text.replace("≈", " ").replace("~", " ").split())
    if not plain:
        raise BadInput(f"an empty claim; write {ACCEPTED}")
    if len(plain) > _LONGEST:
        raise BadInput(f"a claim of {len(plain)} characters is too long; at most {_LONGEST}")
    left = plain
    if re.search(r"(?<!\S)-\d", plain):
        raise BadInput(f"a negative amount in {_short(plain)}; a claim states positive ones")
    machine, left = find_machine(left)
    model, left = find_model(left)
    format, left = find_format(left)
    # Names leave gaps; an amount and its unit stand side by side again without them.
    amounts = _amounts(" ".join(left.split()))
    if not amounts and not (re.search(r"\b(?:fits?|twice|double|half|halves|triple|quarter)",
                                      plain, re.IGNORECASE)
                            or (machine and re.search(r"\b(?:needs?|requires?)\b", plain))):
        raise BadInput(f"cannot read a claim in {_short(plain)}; write {ACCEPTED}")
    return TextClaim(plain, amounts, model, machine, format, plain.lower())


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _amounts(text: str) -> tuple[Amount, ...]:
    """Every amount, in the order of the text."""
    found: list[tuple[int, Amount]] = []
    for kind, pattern in _COMPILED:
        for match in list(pattern.finditer(text)):
            value = _si(kind, match, "n")
            low = _si(kind, match, "lo") if match.groupdict().get("lo") else value
            found.append((match.start(), Amount(kind, value, match[0].strip(), min(low, value))))
            text = text[:match.start()] + " " * len(match[0]) + text[match.end():]
    return tuple(amount for _, amount in sorted(found, key=lambda pair: pair[0]))


def _si(kind: str, match: re.Match[str], part: str) -> float:
    """The amount of a match in SI units; part "lo" is the lower end of a range."""
    parts = match.groupdict()
    exponent = re.sub(r"[^\d+-]", "", re.sub(r"[x×]\s*10\^", "", parts.get("e") or ""))
    if len(exponent) > 4 or len(parts[part]) > 40 or abs(int(exponent or 0)) > _LARGEST_EXPONENT:
        raise BadInput(f"{match[0].strip()[:40]!r} is not a number anyone measures")
    value = float(parts[part].replace(",", "")) * 10.0 ** int(exponent or 0)
    value *= _COUNT.get(parts.get("s") or "", 1.0)
    time = parts.get("t")
    if kind == "token_rate":
        return value / _TIMES.get(time or "", 1.0)
    if kind == "seconds":
        return value * _TIMES[time or "s"]
    if kind == "share":
        return value / 100
    if kind in ("flop", "flop_rate", "flop_days"):
        return value * _FLOPS[parts.get("p") or ""] * (86400.0 if kind == "flop_days" else 1.0)
    if kind == "watts":
        return value * (1e3 if parts["w"] else 1.0)
    if kind == "chip_hours":
        return value * 3600.0
    if kind == "joules_per_token":
        return value * (1e-3 if parts["u"] == "mJ" else 1.0)
    if kind == "bandwidth" and parts.get("g"):
        return value * {"G": 0.125e9, "T": 0.125e12}[parts["g"][0]]
    value *= _BYTES.get(parts.get("u") or "", 1.0)
    if kind == "bytes_per_token" and parts.get("k"):
        value /= 1024.0 if parts["k"].strip() == "1024" else 1000.0
    return value
