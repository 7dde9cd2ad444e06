"""Answers as HTML: a page that stands alone and prints, and the tables of a notebook.

Everything works on the JSON form of an answer; no script, no style from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ridgeline.report.figure import Figure
from ridgeline.report.svg import render_svg
from ridgeline.report.words import label, number_text

__all__ = ["Part", "answer_html", "render_report"]

_STYLE = """
body { font: 15px/1.45 system-ui, 'DejaVu Sans', sans-serif; color: #16232b; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { border-bottom: 2px solid #0b4f6c; padding-bottom: .2rem;
  margin-top: 2.4rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #d5dde1;
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
thead th, .dim { color: #4d5f69; font-weight: 500; } .bound { font-weight: 600; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
code { background: #f4f7f8; padding: .1rem .3rem; overflow-wrap: anywhere; }
nav a { margin-right: 1rem; color: #0b4f6c; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } nav { display: none; }
  h2 { break-after: avoid; } table, figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Part:
    """One question of a report.

    Attributes:
        title: what was asked.
        answer: JSON form of the answer, or None where it was refused.
        figures: what draws it.
        refusal: why there is no answer.
        command: how to ask it again.
    """

    title: str
    answer: Mapping[str, Any] | None
    figures: Sequence[Figure] = ()
    refusal: str = ""
    command: str | None = None


def render_report(title: str, scenario: Mapping[str, Any], parts: Sequence[Part],
                  meanings: Mapping[str, str]) -> str:
    """One page with every part, nothing outside it.

    Args:
        title: heading of the page.
        scenario: what was asked, by name.
        parts: the questions in order.
        meanings: "question.key" or "key" -> what a number means.
    """
    links = "".join(f"<a href='#part{i}'>{escape(p.title)}</a>" for i, p in enumerate(parts))
    asked = _grid(["field", "value"], [[k, str(v)] for k, v in _flat(scenario)], [False, False])
    body = [f"<h1>{escape(title)}</h1>", f"<nav aria-label='Questions'>{links}</nav>",
            "<h2>Scenario</h2>", asked]
    for i, part in enumerate(parts):
        body += _part(i, part, meanings)
    return ("<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n"
            + "\n".join(body) + "\n</main></body></html>\n")


def _part(index: int, part: Part, meanings: Mapping[str, str]) -> Iterator[str]:
    yield f"<section id='part{index}'><h2>{escape(part.title)}</h2>"
    if part.answer is None:
        yield f"<p class='bound'>{escape(part.refusal)}</p></section>"
        return
    yield answer_html(part.answer, meanings)
    for number, figure in enumerate(part.figures):
        name = f"plot{index}-{number}"       # drawings of one page share its names
        drawn = render_svg(figure).replace("id='plot'", f"id='{name}'").replace(
            "url(#plot)", f"url(#{name})")
        yield f"<figure>{drawn}</figure>"
    yield from (_derivation(d) for d in part.answer["derivation"])
    if part.command:
        yield f"<p class='dim'>Again: <code>{escape(part.command)}</code></p>"
    yield "</section>"


def answer_html(answer: Mapping[str, Any], meanings: Mapping[str, str] | None = None) -> str:
    """The bound, numbers, tables and notes of an answer, without its derivation."""
    known, values = meanings or {}, dict(answer["answer"])
    bound = values.pop("bound", None)
    out = [f"<p class='bound'>{escape(str(bound['value']))}</p>"] if bound else []
    rows = []
    for name, q in values.items():
        if isinstance(q, Mapping) and not isinstance(q.get("value"), (dict, list)):
            meaning = known.get(f"{answer['question']}.{name}", known.get(name, ""))
            rows.append([label(name, q.get("unit", "")), _value(q, "1"), _interval(q),
                         q.get("basis") or "", *([meaning] if known else [])])
    heads = ["quantity", "value", "80 % interval", "basis", *(["meaning"] if known else [])]
    out.append(_grid(heads, rows, [False, True, True, False, False]))
    out += [f"<h3>{escape(t['title'])}</h3>" + _table(t)
            for t in sorted(answer["tables"], key=lambda t: t["name"] == "levers")]
    notes = "".join(f"<li>{escape(note)}</li>" for note in answer["notes"])
    return "\n".join([*out, f"<ul class='dim'>{notes}</ul>" if notes else ""])


def _table(table: Mapping[str, Any]) -> str:
    units = [column["unit"] for column in table["columns"]]
    right = [any(isinstance(row[i], (int, float, dict)) and not isinstance(row[i], bool)
                 for row in table["rows"]) for i in range(len(units))]
    rows = [[_value(cell, unit) for cell, unit in zip(row, units, strict=True)]
            for row in table["rows"]]
    return _grid([c["name"].replace("_", " ") for c in table["columns"]], rows, right)


def _derivation(d: Mapping[str, Any]) -> str:
    rows = [[i["symbol"], _several(i), i["meaning"],
             i["basis"] + (f": {i['source']}" if i["source"] else "")] for i in d["inputs"]]
    sources = "".join(f"<p class='dim'>Source: {escape(s)}</p>" for s in d["sources"])
    valid = f"<p class='dim'>Valid for: {escape(d['valid_for'])}</p>" if d["valid_for"] else ""
    return (f"<h3>{escape(d['title'])}</h3><p><code>{escape(d['formula'])}</code></p>"
            + _grid(["symbol", "value", "meaning", "basis and source"], rows,
                    [False, True, False, False])
            + f"<p>Result: <b>{escape(_value(d['result'], '1'))}</b> "
            f"{escape(_interval(d['result']))}</p>{valid}{sources}")


def _several(item: Mapping[str, Any]) -> str:
    values = item["value"] if isinstance(item["value"], list) else [item["value"]]
    return ", ".join(_value(v, item["unit"]) for v in values)


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if n else ''}>{escape(str(cell))}</{tag}>"
                       for cell, n in zip(row, right, strict=False))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def _value(cell: Any, unit: str) -> str:
    """A cell of a table, a quantity or a scalar as text."""
    if isinstance(cell, Mapping):
        return _value(cell.get("value"), str(cell.get("unit", "1")))
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if cell is None:
        return "-"
    return number_text(cell, unit) if isinstance(cell, (int, float)) else str(cell)


def _interval(q: Mapping[str, Any]) -> str:
    low, high = q.get("low"), q.get("high")
    if low is None or high is None or low == high:
        return ""
    return f"{number_text(low, q['unit'])} - {number_text(high, q['unit'])}"


def _flat(scenario: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in scenario.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value
