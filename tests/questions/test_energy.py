"""Energy: the parts against the meter, levers, and accuracy for watts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.questions.energy import EnergyAsk, energy, joules
from ridgeline.questions.energy_levers import retrieval_energy
from ridgeline.questions.energy_pareto import (
    System,
    energy_pareto,
    frontier,
    pareto_figure,
    read_systems,
)
from ridgeline.scenario import Scenario


def ask(**fields: Any) -> EnergyAsk:
    own = {k: fields.pop(k) for k in list(fields) if k in EnergyAsk.__dataclass_fields__}
    base = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 300,
            "concurrency": 32, **fields}
    return EnergyAsk(Scenario.from_fields(base), **own)


@pytest.mark.parametrize("fields", [
    {}, {"ideal": True}, {"concurrency": 1}, {"concurrency": 512, "prompt": 200},
    {"model": "Llama-3.1-70B", "machine": "8xH100-SXM"}, {"machine": "L40S"}])
def test_the_parts_never_exceed_the_board_power(fields: dict[str, Any]) -> None:
    found = joules(ask(**fields))
    for phase in (found.prefill, found.decode):
        assert phase is not None
        assert 0 < found.bottom_up(phase) <= found.meter(phase) * (1 + 1e-9)


def test_a_request_is_its_tokens_and_the_building() -> None:
    answer = energy(ask(pue=1.5, grams_per_kwh=500.0))
    joule = (2000 * answer.value("joules_per_prompt_token")
             + 300 * answer.value("joules_per_output_token")) * 1.5
    assert answer.value("watt_hours_per_request") == pytest.approx(joule / 3600)
    assert answer.value("grams_co2_per_request") == pytest.approx(joule / 3.6e6 * 500)
    assert answer.value("run_mwh") == pytest.approx(joule / 300 * 1e9 / 3.6e9)
    parts: Any = next(t for t in answer.tables if t.name == "parts").rows
    decode = {row[1]: row[2] for row in parts if row[0] == "decode"}
    assert decode["all parts"] == pytest.approx(sum(
        decode[n] for n in ("arithmetic", "memory", "links", "idle power")))


def test_a_measured_power_replaces_the_board() -> None:
    plain, metered = energy(ask()), energy(ask(watts=1400.0))
    name = "joules_per_output_token"
    assert metered.value(name) == pytest.approx(2 * plain.value(name))
    bottom = "joules_per_output_token_bottom_up"
    assert metered.value(bottom) == pytest.approx(plain.value(bottom))


def test_a_claimed_energy_is_read_back_as_its_rate() -> None:
    forward = energy(ask(ideal=True))
    name = "joules_per_output_token"
    back = energy(ask(ideal=True, claimed_joules=forward.value(name)))
    found = joules(ask(ideal=True))
    assert found.decode is not None
    rate = found.decode.tokens / found.decode.seconds
    assert back.value("claimed_tokens_per_s") == pytest.approx(rate)
    assert back["claimed_is_possible"] is True
    least = forward.value("joules_per_output_token_bottom_up")
    assert energy(ask(ideal=True, claimed_joules=least / 2))["claimed_is_possible"] is False


def test_larger_batches_share_the_weights() -> None:
    each = [energy(ask(concurrency=n)).value("joules_per_output_token_bottom_up")
            for n in (1, 16, 256)]
    assert each == sorted(each, reverse=True)


def test_levers_save_energy_and_the_best_comes_first() -> None:
    answer = energy(ask(concurrency=1))
    levers = next(t for t in answer.tables if t.name == "levers").rows
    saved: dict[Any, Any] = {row[0]: row[2] for row in levers}
    assert [row[2] for row in levers] == sorted(saved.values(), reverse=True)
    assert saved["ternary weights, 2 bits stored"] > saved["fp8 weights"] > 1.2
    # Alone, a sequence that skips a quarter of the layers reads a quarter less.
    assert saved["skip 25% of the layers"] == pytest.approx(4 / 3, rel=0.02)


def test_lossy_vectors_save_their_ratio() -> None:
    rows: list[Any] = list(retrieval_energy(10e6, 768).tables[0].rows)
    assert [row[3] for row in rows] == [1.0, pytest.approx(4.0), pytest.approx(32.0)]
    assert rows[0][1] == pytest.approx(30.72e9)


@pytest.mark.parametrize(("fields", "says"), [
    ({"pue": 0.9}, "PUE"), ({"watts": -1.0}, "watts"), ({"idle_share": 1.0}, "idle"),
    ({"grams_per_kwh": float("nan")}, "grams"), ({"memory_pj_per_bit": 40.0}, "board power"),
    ({"machine": "TPU-v6e"}, "--watts")])
def test_impossible_powers(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        energy(ask(**fields))


systems = st.lists(st.builds(System, name=st.just("s"), accuracy=st.floats(0.01, 1.0),
                             watts=st.floats(1.0, 1e5)), min_size=1, max_size=20)


@given(systems)
def test_nobody_beats_the_frontier(found: list[System]) -> None:
    kept = frontier(tuple(found))
    for system in found:
        beaten = any(o.accuracy >= system.accuracy and o.watts <= system.watts
                     and (o.accuracy, o.watts) != (system.accuracy, system.watts) for o in found)
        assert beaten or system in kept
    assert [s.watts for s in kept] == sorted(s.watts for s in kept)
    assert [s.accuracy for s in kept] == sorted(s.accuracy for s in kept)


def test_systems_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "systems.csv"
    file.write_text("name,accuracy,watts,joules\nlarge,0.42,5600,800\nsmall,0.40,1400,\n"
                    "bad,0.30,2000,\n")
    found = read_systems(file)
    answer = energy_pareto(found)
    assert answer.value("best_accuracy_per_kw") == pytest.approx(0.286, rel=0.005)
    assert [row[0] for row in answer.tables[0].rows] == ["small", "bad", "large"]
    assert [row[6] for row in answer.tables[0].rows] == [True, False, True]
    assert pareto_figure(found).series


@pytest.mark.parametrize(("text", "says"), [
    ("", "no column"), ("name,accuracy\na,0.5\n", "no column watts"),
    ("name,accuracy,wats\na,0.5,3\n", "did you mean 'watts'"),
    ("name,accuracy,watts\na,1.5,3\n", "line 2: accuracy"),
    ("name,accuracy,watts\na,0.5,x\n", "not a number"), ("name,accuracy,watts\n", "no systems"),
    ("name,accuracy,watts\na,0.5,nan\n", "watts")])
def test_wrong_files_name_the_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "systems.csv"
    file.write_text(text)
    with pytest.raises(BadInput, match=says):
        read_systems(file)
