"""The explorer in a real browser: every view, its numbers against the command line's JSON."""

import contextlib
import io
import json
from pathlib import Path

import pytest

AXE = Path(__file__).parent / "axe.min.js"
SCENARIO = "model=Llama-3.1-8B&machine=H100-SXM&prompt=2000&output=200&concurrency=8"
FLAGS = ["Llama-3.1-8B", "--on", "H100-SXM", "--prompt", "2000", "--output", "200",
         "--concurrency", "8"]
TRAIN = "&train.machine=64xH100-SXM&train.search=&train.tp=2&train.tokens=1T"
# View -> (address, question, a number of its answer, the same on the command line).
VIEWS = {
    "fit": ("fit", "fit", "kv_pool_bytes", ["fit", *FLAGS]),
    "speed": ("speed", "estimate", "tpot_s", ["estimate", *FLAGS]),
    "roofline": ("roofline", "roofline", "decode_lower_s", ["roofline", *FLAGS]),
    "requests": ("requests&simulate.rate=2&simulate.requests=200", "simulate", "latency_p95_s",
                 ["simulate", *FLAGS, "--rate", "2", "--requests", "200", "--ttft", "5",
                  "--tpot", "0.05"]),
    "training": ("training" + TRAIN, "train", "step_s",
                 ["train", "Llama-3.1-8B", "--on", "64xH100-SXM", "--tp", "2", "--tokens", "1T"]),
    "sizes": ("training/scale", "scale", "params", ["scale", "--compute", "8.4e23"]),
    "money": ("money", "price", "usd_per_mtok_output", ["price", *FLAGS]),
    "caches": ("money/cache", "cache", None, ["cache", *FLAGS]),
    "energy": ("money/energy", "energy", None, ["energy", *FLAGS]),
    "retrieve": ("retrieve", "retrieve", None,
                 ["retrieve", "--docs", "10M", "--dim", "1024", "--index", "hnsw", "--model",
                  "Llama-3.1-8B", "--on", "H100-SXM", "--output", "200"]),
    "fleet": ("fleet&fleet.fleet=1000xH100-SXM", "fleet", None,
              ["fleet", "1000xH100-SXM", "Llama-3.1-8B", "--prompt", "2000", "--output", "200"]),
    "check": ("check", "check", "verdict",
              ["check", "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16"]),
    "exercises": ("exercises", "exercise", "batch", ["exercise", "3"]),
}


def visit(page, address, view, extra=""):
    page.goto(f"{address}/?view={view}&{SCENARIO}{extra}")
    settle(page)


def settle(page):
    """Wait until nothing is being asked."""
    page.wait_for_selector(".answer, .result .chart, .error", timeout=30_000)
    page.wait_for_timeout(350)         # streamed questions wait that long for further changes
    page.wait_for_selector("[aria-busy=true]", state="detached", timeout=60_000)


def command(*arguments):
    """What the command line prints with --json."""
    from ridgeline.cli import cli

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*arguments, "--json"], prog_name="ridgeline", standalone_mode=False)
    return json.loads(out.getvalue())


def shown(page):
    """The answer behind the page, and the text of each number card."""
    with page.expect_download() as kept:
        page.click("details.elsewhere > summary")
        page.click("text=Answer as JSON")
    answer = json.loads(Path(kept.value.path()).read_text(encoding="utf-8"))
    cards = {card.get_attribute("data-name"): card.query_selector(".value").inner_text()
             for card in page.query_selector_all("[data-name]")}
    return answer, cards


def unclocked(numbers):
    """Without what depends on the clock of the machine that answers."""
    return {k: v for k, v in numbers.items() if k not in ("wall_s", "requests_per_wall_s")}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_what_the_command_line_answers(page, address, shots, view):
    place, question, number, arguments = VIEWS[view]
    visit(page, address, place)
    assert page.query_selector(".error") is None
    answer, cards = shown(page)
    expected = command(*arguments)
    assert answer["question"] == expected["question"] == question
    assert unclocked(answer["answer"]) == unclocked(expected["answer"])
    scalar = [k for k, q in expected["answer"].items()
              if k != "bound" and not isinstance(q["value"], (dict, list))]
    assert set(scalar) <= cards.keys()
    if number:
        from ridgeline.report.words import number_text

        value = expected["answer"][number]
        told = (value["value"] if isinstance(value["value"], str)
                else number_text(value["value"], value["unit"]))
        assert cards[number] == told
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=str(shots / f"{view}.png"), full_page=True)


def test_numbers_read_as_the_command_line_writes_them(page, address):
    from ridgeline.report.words import number_text

    for view in ("fit", "speed"):
        visit(page, address, view)
        answer, cards = shown(page)
        told = {k: number_text(q["value"], q["unit"]) for k, q in answer["answer"].items()
                if isinstance(q["value"], (int, float)) and not isinstance(q["value"], bool)}
        assert {k: cards[k] for k in told} == told


def test_the_frontier_compares_machines_and_draws_targets(page, address, shots):
    visit(page, address, "frontier", "&frontier.machines=H100-SXM,B200-SXM&frontier.tpot=0.02")
    legend = [b.inner_text() for b in page.query_selector_all(".legend button")]
    assert legend == ["H100-SXM", "B200-SXM", "target 20.0 ms a token"]
    page.focus(".plot")
    page.keyboard.press("ArrowRight")
    tip = page.inner_text(".tip")
    assert "H100-SXM, 1 in flight" in tip and "TTFT" in tip and "USD/Mtok" in tip
    page.select_option("select[name=against]", "dollars")
    page.wait_for_selector("text=Speed against cost")
    page.screenshot(path=str(shots / "frontier.png"), full_page=True)


def test_a_plan_streams_its_answer(page, address, shots):
    visit(page, address, "frontier/plan", "&plan.on=8xH100-SXM")
    assert page.query_selector(".error") is None
    assert "H100-SXM" in page.inner_text(".bound")
    page.screenshot(path=str(shots / "plan.png"), full_page=True)


def test_controls_change_the_answer_and_the_address(page, address):
    visit(page, address, "speed")
    before = page.inner_text("[data-name=tpot_s] .value")
    page.fill("input[name=concurrency]", "64")
    settle(page)
    after = page.inner_text("[data-name=tpot_s] .value")
    expected = command("estimate", *FLAGS[:-1], "64")["answer"]["tpot_s"]["value"]
    assert before != after and after.startswith(f"{expected * 1e3:.3g}"[:4])
    assert "concurrency=64" in page.url
    page.reload()
    settle(page)
    assert page.inner_text("[data-name=tpot_s] .value") == after
    assert page.input_value("input[name=concurrency]") == "64"


def test_a_slider_moves_with_the_keyboard(page, address):
    visit(page, address, "fit")
    page.focus("input[type=range][aria-label='prompt slider']")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.input_value("input[name=prompt]") != "2000" and "prompt=2000" not in page.url


def test_a_number_opens_to_its_derivation_and_closes_by_key(page, address, shots):
    visit(page, address, "speed")
    page.click("[data-name=e2e_s]")
    sheet = page.inner_text("dialog[open]")
    assert "ttft_s + max(output - 1, 0) * tpot_s" in sheet and "80 % interval" in sheet
    assert "calibrated" in sheet and "200 (asked)" in sheet
    page.keyboard.press("Escape")
    page.click("[data-name=tpot_floor_s]")
    sheet = page.inner_text("dialog[open]")
    assert "Textbook decode step" in sheet and "Textbook prefill" not in sheet
    assert "Source:" in sheet and "H100-SXM datasheet" in sheet and "B/s" in sheet
    page.screenshot(path=str(shots / "derivation.png"))
    page.keyboard.press("Escape")
    assert page.query_selector("dialog[open]") is None
    assert page.evaluate("document.activeElement.dataset.name") == "tpot_floor_s"


def test_two_scenarios_stand_side_by_side(page, address, shots):
    visit(page, address, "speed")
    page.click("text=Compare")
    page.fill("section[aria-label='Second scenario'] input[name=machine]", "B200-SXM")
    page.wait_for_selector(".against", timeout=20_000)
    settle(page)
    values = [v.inner_text() for v in page.query_selector_all("[data-name=tpot_s] .value")]
    assert len(values) == 2 and values[0] != values[1]
    assert "b.machine=B200-SXM" in page.url
    page.screenshot(path=str(shots / "compare.png"), full_page=True)


def test_bad_input_is_one_line_and_goes_away(page, address):
    visit(page, address, "fit")
    page.fill("input[name=machine]", "8xH100-SXM6")
    page.wait_for_selector(".error")
    settle(page)
    line = page.inner_text(".error")
    assert "unknown chip" in line and "did you mean" in line and "\n" not in line
    page.fill("input[name=machine]", "H100-SXM")
    page.wait_for_selector(".answer")
    assert page.query_selector(".error") is None


def test_an_infeasible_scenario_says_by_how_much(page, address):
    page.goto(f"{address}/?view=speed&model=Llama-3.1-70B&machine=H100-SXM")
    page.wait_for_selector(".error")
    assert "does not fit" in page.inner_text(".error") and "GB short" in page.inner_text(".error")


def test_long_work_can_be_cancelled(page, address):
    page.goto(f"{address}/?view=requests&{SCENARIO}&simulate.rate=1&simulate.requests=1M")
    page.wait_for_selector(".progress")
    page.click("text=Cancel")
    page.wait_for_selector(".error")
    assert "cancelled" in page.inner_text(".error")
    page.fill("input[name=requests]", "100")
    page.wait_for_selector(".answer", timeout=30_000)


def test_the_same_question_is_told_for_other_surfaces(page, address):
    visit(page, address, "fit", "&weights=fp8")
    page.click("details.elsewhere > summary")
    told = page.inner_text("details.elsewhere")
    assert "ridgeline fit Llama-3.1-8B --on H100-SXM --weights fp8" in told
    assert "ridgeline.fit('Llama-3.1-8B', 'H100-SXM', weights='fp8'" in told
    assert "[deployment]" in told
    with page.expect_download() as kept:
        page.click("text=Numbers as CSV")
    rows = Path(kept.value.path()).read_text(encoding="utf-8").splitlines()
    assert rows[0] == "quantity,value,low,high,unit,basis" and len(rows) > 10


@pytest.mark.parametrize("kind", ["SVG", "PNG", "CSV"])
def test_a_figure_is_saved(page, address, kind):
    visit(page, address, "roofline")
    with page.expect_download() as kept:
        page.click(f".chart .saves button:text-is('{kind}')")
    content = Path(kept.value.path()).read_bytes()
    starts = {"SVG": b"<svg", "PNG": b"\x89PNG", "CSV": b"series"}
    assert content.startswith(starts[kind]) and len(content) > 500
    if kind == "SVG":
        assert b"var(" not in content


def test_roofs_of_other_chips_are_laid_over(page, address):
    visit(page, address, "roofline", "&roofline.overlay=B200-SXM&roofline.formats=bf16")
    page.wait_for_selector(".legend button:has-text('B200-SXM bf16')")


def test_a_phone_shows_it_without_sideways_scrolling(browser, address, shots):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    opened = context.new_page()
    for view in ("fit", "speed", "roofline", "requests", "money", "check"):
        visit(opened, address, view)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360, view
    opened.screenshot(path=str(shots / "phone.png"), full_page=True)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_scan_finds_nothing_serious(browser, address, scheme):
    # The scanner is put into the page by the test, past the page's own policy.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    opened = context.new_page()
    found = {}
    every = ("fit", "speed", "roofline", "frontier", "requests", "training", "money", "retrieve",
             "fleet", "check", "exercises")
    for view in every if scheme == "light" else ("speed", "roofline", "requests"):
        visit(opened, address, view, "&simulate.requests=100&frontier.machines=H100-SXM")
        opened.add_script_tag(path=str(AXE))
        scan = opened.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found |= {f"{view}: {v['id']}": [n["html"][:160] for n in v["nodes"][:3]]
                  for v in scan["violations"] if v["impact"] in ("serious", "critical")}
    context.close()
    assert found == {}
