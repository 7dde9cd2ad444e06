"""One input for every surface: files, flags and permalinks read and write the same scenario."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.scenario import Scenario, read_scenario, write_scenario

scenarios = st.fixed_dictionaries(
    {"model": st.sampled_from(["Llama-3.1-70B", "a/b c", "x=y&z"]),
     "machine": st.sampled_from(["8xH100-SXM", "H200"])},
    optional={"tp": st.integers(1, 64), "prompt": st.integers(1, 10**6),
              "concurrency": st.integers(1, 4096), "weights": st.sampled_from(["fp8", "bf16"]),
              "prefix_hit": st.floats(0, 1), "cuda_graphs": st.booleans(),
              "memory_fraction": st.floats(0.01, 1), "zero": st.integers(0, 3)})


@given(scenarios)
def test_every_way_in_and_out_gives_the_same_scenario(fields):
    scenario = Scenario.from_fields(fields)
    assert Scenario.from_query(scenario.to_query()) == scenario
    assert Scenario.from_fields(scenario.to_dict()) == scenario
    assert scenario.replace() == scenario


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_files_round_trip(tmp_path, ending):
    scenario = Scenario.from_fields({"model": "m\"x", "machine": "H100", "tp": 2, "prompt": "4k"})
    write_scenario(scenario, tmp_path / f"s{ending}")
    assert Scenario.from_fields(read_scenario(tmp_path / f"s{ending}")) == scenario
    assert [f.name for f in tmp_path.iterdir()] == [f"s{ending}"]


@pytest.mark.parametrize(("fields", "says"), [
    ({"machine": "H100"}, "needs a model"),
    ({"model": "m"}, "needs a machine"),
    ({"tp": 0}, "tp must be a whole number from 1"),
    ({"tp": 1.5}, "tp must be a whole number"),
    ({"tp": True}, "tp must be a number"),
    ({"tp": [1]}, "tp must be a number"),
    ({"prompt": "nan"}, "prompt must be a"),
    ({"prompt": "1e300"}, "prompt must be a whole number"),
    ({"prompt": -5}, "prompt must be"),
    ({"prefix_hit": 1.5}, "between 0 and 1"),
    ({"memory_fraction": 0}, "memory_fraction must be between"),
    ({"zero": 4}, "zero must be a whole number from 0 to 3"),
    ({"recompute": "selectve"}, "did you mean 'selective'"),
    ({"cuda_graphs": "maybe"}, "true or false"),
    ({"weights": 8}, "weights must be text"),
])
def test_wrong_values_get_one_clear_line(fields, says):
    base = {} if "needs" in says else {"model": "m", "machine": "H100"}
    with pytest.raises(BadInput) as caught:
        Scenario.from_fields({**base, **fields})
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'concurrency'"):
        Scenario.from_fields({"model": "m", "machine": "H100", "concurency": 3})
    with pytest.raises(UnknownName, match="prompt"):
        Scenario.from_fields({"model": "m", "machine": "H100", "workload": {"promt": 3}})


@pytest.mark.parametrize("text", ["[[", "a = ", "\x00", "[workload]\nprompt = 'x'"])
def test_broken_files_are_one_line(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RidgelineError) as caught:
        Scenario.from_fields(read_scenario(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="cannot read"):
        read_scenario(tmp_path / "absent.toml")


def test_a_context_holds_the_prompt_and_output_given_with_it():
    base = {"model": "m", "machine": "H100"}
    for fields in ({"context": 100}, {"context": 1256, "prompt": 1000},
                   {"context": 300, "prompt": 100, "output": 200}):
        assert Scenario.from_fields({**base, **fields}).workload.context == fields["context"]
    with pytest.raises(BadInput, match=r"give at least 1,256"):
        Scenario.from_fields({**base, "context": 100, "prompt": 1000})
