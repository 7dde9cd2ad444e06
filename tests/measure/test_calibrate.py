import json
import sys
import types

import pytest
from click.testing import CliRunner

from ridgeline.cli.calibrate import calibrate_command
from ridgeline.errors import BadInput
from ridgeline.measure import calibrate as calibration
from ridgeline.timing.constants import ENVIRONMENT, constants_text

HEAD = "source,gpu,kernel,version,dtype,groups,m_per_group,n,k,time_us\n"


def fit_slowest(rows, chips):
    """A stand-in family: the slowest time of each machine."""
    return {"slowest_us": {str(g): float(rows["time_us"][rows["gpu"] == g].max())
                           for g in sorted(set(rows["gpu"]))},
            "known": sorted(chips), "rows": len(rows["gpu"])}


@pytest.fixture
def recipe(monkeypatch):
    module = types.ModuleType("stand_in_fit")
    module.fit_slowest = fit_slowest
    monkeypatch.setitem(sys.modules, "stand_in_fit", module)
    recipes = {"grouped": calibration.Recipe(("grouped_gemm",), "stand_in_fit", "fit_slowest")}
    monkeypatch.setattr(calibration, "RECIPES", recipes)


def own_rows(folder, text="lab,H100-SXM,mine,1,fp8_block,4,8192,4096,7168,999999\n"):
    path = folder / "mine.csv"
    path.write_text(HEAD + text)
    return path


def test_the_same_measurements_give_the_same_bytes(tmp_path, recipe):
    marks = [calibration.calibrate(tmp_path / name) for name in ("a", "b")]
    assert marks[0] == marks[1]
    for file in ("grouped.json", "fingerprint.json", "accuracy.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    content = json.loads((tmp_path / "a" / "grouped.json").read_text())
    assert content["known"] == ["H800-SXM"] and content["rows"] == 18


def test_own_rows_are_added_and_change_the_fingerprint(tmp_path, recipe):
    ours = calibration.calibrate(tmp_path / "ours")
    both = calibration.calibrate(tmp_path / "both", [own_rows(tmp_path)])
    content = json.loads((tmp_path / "both" / "grouped.json").read_text())
    assert content["slowest_us"]["H100-SXM"] == 999999 and content["rows"] == 19
    assert both["all_inputs"] != ours["all_inputs"]
    assert both["outputs"]["grouped"] != ours["outputs"]["grouped"]


def test_own_rows_refit_only_the_families_they_serve(tmp_path, recipe):
    calibration.RECIPES["other"] = calibration.Recipe(("models",), "stand_in_fit", "fit_slowest")
    mark = calibration.calibrate(tmp_path / "mine", [own_rows(tmp_path)])
    assert list(mark["outputs"]) == ["grouped"] and list(mark["inputs"]) == ["grouped_gemm"]


def test_tables_nothing_is_fitted_from_are_refused(tmp_path, recipe):
    path = tmp_path / "other.csv"
    path.write_text("name,config_file,total_params_exact\nm,m.json,1\n")
    with pytest.raises(BadInput, match="nothing here is fitted from models tables"):
        calibration.calibrate(tmp_path / "out", [path])
    with pytest.raises(BadInput, match="no fitted family 'gem'"):
        calibration.calibrate(tmp_path / "out", families=["gem"])


def test_command_and_use(tmp_path, recipe, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    out = tmp_path / "mine"
    result = CliRunner().invoke(calibrate_command, ["--with", str(own_rows(tmp_path)),
                                                    "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"RIDGELINE_CALIBRATION={out}" in result.output
    assert constants_text("grouped.json") is None
    with pytest.raises(BadInput, match="holds no calibration"):
        calibration.use_calibration(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, "")
    calibration.use_calibration(out)
    assert json.loads(constants_text("grouped.json"))["rows"] == 19


def test_a_missing_calibration_folder_is_named(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "/nowhere/at/all")
    with pytest.raises(BadInput, match="RIDGELINE_CALIBRATION names '/nowhere/at/all'"):
        constants_text("gemm.json")


def shipped_fingerprint():
    from importlib import resources

    folder = resources.files("ridgeline.timing") / "data"
    return json.loads((folder / "fingerprint.json").read_text()), folder


def test_the_shipped_constants_are_of_the_shipped_measurements():
    stored, folder = shipped_fingerprint()
    fitted = [f for f in calibration.RECIPES if (folder / f"{f}.json").is_file()]
    tables = calibration.gather([], [t for f in fitted for t in calibration.RECIPES[f].tables])
    assert fitted
    # When this fails, constants or measurements changed alone: run `ridgeline calibrate`.
    assert stored == calibration.fingerprint(tables, folder)


def test_every_fitted_family_states_its_held_out_errors():
    stored = json.loads(constants_text("accuracy.json"))
    assert set(stored) == set(shipped_fingerprint()[0]["outputs"])
    for family, splits in stored.items():
        medians = [e["median_ape_pct"] for e in splits.values() if "median_ape_pct" in e]
        assert medians and all(0 < m < 100 for m in medians), family


@pytest.mark.slow
def test_refitting_a_family_gives_the_shipped_constants():
    from ridgeline.measure.fit.collective import fit_forms, points_of

    shipped = json.loads(constants_text("collective.json"))
    rows = calibration.merged(calibration.gather([], ["collective"])["collective"])
    found, _ = fit_forms(points_of(rows))
    for part in ("libraries", "engines"):
        assert set(found[part]) == set(shipped[part])
        for key, constants in shipped[part].items():
            assert found[part][key] == pytest.approx(constants, rel=1e-3), key


def test_a_place_that_is_no_folder_is_refused_before_any_fitting(tmp_path, recipe):
    (tmp_path / "taken").write_text("a file")
    for place in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(BadInput, match="cannot make the folder"):
            calibration.calibrate(place)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".json"] == []
