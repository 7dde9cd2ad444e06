"""A report is one page with everything in it and nothing outside."""

import re
from html.parser import HTMLParser

import pytest

from ridgeline.cli import cli
from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.registry import ask
from ridgeline.report.html import Part, answer_html, render_report
from ridgeline.report.words import number_text


class Page(HTMLParser):
    """Tags left open, ids, and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.scripts = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.scripts += tag == "script"
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[k] for k in ("href", "src") if k in named]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    cli.main(["report", "Llama-3.1-8B", "--on", "H100-SXM", "--prompt", "2000", "--output", "200",
              "-o", str(path)], prog_name="ridgeline", standalone_mode=False)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_asks_for_nothing(page):
    read = Page(page)
    assert read.open == [] and read.scripts == 0
    assert all(link.startswith("#") for link in read.links)
    assert len(set(read.ids)) == len(read.ids)
    assert "url(http" not in page and "@import" not in page and "@media print" in page


def test_it_holds_the_numbers_of_each_question_with_derivations(page):
    scenario = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 200}
    for name in ("fit", "estimate", "energy"):
        for q in ask(name, scenario).to_dict()["answer"].values():
            if isinstance(q["value"], float):
                assert number_text(q["value"], q["unit"]) in page
    assert "Textbook decode step" in page and "Source:" in page and page.count("<svg") >= 4
    assert "ridgeline estimate Llama-3.1-8B --on H100-SXM" in page


def test_a_question_without_an_answer_says_why(tmp_path):
    path = tmp_path / "no.html"
    cli.main(["report", "Llama-3.1-70B", "--on", "H100-SXM", "--ask", "fit,estimate", "-o",
              str(path)], prog_name="ridgeline", standalone_mode=False)
    text = path.read_text(encoding="utf-8")
    assert "does not fit" in text and text.rstrip().endswith("</html>")


def test_a_scenario_file_is_read(tmp_path):
    file, page = tmp_path / "s.toml", tmp_path / "s.html"
    file.write_text('model = "Llama-3.1-8B"\nmachine = "H100-SXM"\n[workload]\nprompt = 777\n')
    cli.main(["report", str(file), "--ask", "fit", "-o", str(page), "--title", "A <b>title</b>"],
             prog_name="ridgeline", standalone_mode=False)
    text = page.read_text(encoding="utf-8")
    assert "777" in text and "A &lt;b&gt;title&lt;/b&gt;" in text and "<b>title" not in text


@pytest.mark.parametrize(("arguments", "error", "said"), [
    (["x.toml", "-o", "r.pdf"], BadInput, "must end in .html"),
    (["none.toml", "-o", "r.html"], BadInput, "cannot read none.toml"),
    (["Llama-3.1-8B", "--on", "H100", "-o", "r.html", "--ask", "train"], BadInput, "cannot ask"),
    (["Llama-3.1-8B", "--on", "H100", "-o", "r.html", "--ask", "estimat"], UnknownName, "estimate"),
    (["Llama-3.1-8B", "-o", "r.html"], BadInput, "needs a machine")])
def test_bad_input_writes_nothing(arguments, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=re.escape(said)):
        cli.main(["report", *arguments], prog_name="ridgeline", standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_escaped_and_null_is_a_dash():
    answer = {"question": "q", "notes": ["<i>"], "derivation": [], "tables": [
        {"name": "t", "title": "<b>", "columns": [{"name": "a", "unit": "s"}], "rows": [[None]]}],
        "answer": {"bound": {"value": "<script>", "unit": "1"},
                   "x": {"value": 0.5, "low": 0.4, "high": 0.6, "unit": "s", "basis": "derived"}}}
    text = answer_html(answer)
    assert "<script>" not in text and "&lt;script&gt;" in text and ">-<" in text
    assert "500 ms" in text and "400 ms - 600 ms" in text
    assert Page(render_report("t", {}, [Part("p", answer)], {})).open == []
