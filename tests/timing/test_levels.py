import math

import pytest

from ridgeline.timing.levels import Constant, Levelled, Spreads

CONSTANTS = (Constant("slow", 2.0, 1.0, 10.0, {"engine": 0.3, "device": 0.1}),)
FITTED = Levelled(CONSTANTS, {"slow": math.log(2.0)},
                  {"slow": {"engine=a": math.log(1.5), "device=x": math.log(1.1)}})


def test_every_level_that_applies_is_a_factor_and_others_add_nothing():
    assert FITTED.values({})["slow"] == pytest.approx(2.0)
    assert FITTED.values({"engine": "a"})["slow"] == pytest.approx(3.0)
    assert FITTED.values({"engine": "a", "device": "x"})["slow"] == pytest.approx(3.3)
    assert FITTED.values({"engine": "new", "device": "x"})["slow"] == pytest.approx(2.2)


def test_constants_stay_within_their_bounds():
    far = Levelled(CONSTANTS, {"slow": 9.0}, {"slow": {}})
    near = Levelled(CONSTANTS, {"slow": -9.0}, {"slow": {}})
    assert far.values({})["slow"] == 10.0 and near.values({})["slow"] == 1.0


def test_knows_only_what_was_measured():
    assert FITTED.knows("device", "x") and not FITTED.knows("device", "y")


def test_json_forms_come_back():
    again = Levelled.from_json(CONSTANTS, FITTED.to_json())
    assert again.values({"engine": "a"})["slow"] == pytest.approx(3.0, rel=1e-3)
    spreads = Spreads({"device": (-0.4, -0.2, 0.2, 0.4)}, {"device": {"wide": 2.0}})
    assert Spreads.from_json(spreads.to_json()).ends("device", "wide")[3] == pytest.approx(
        math.exp(0.8))


def test_a_group_of_its_own_has_its_own_width():
    spreads = Spreads({"device": (-0.4, -0.2, 0.2, 0.4)}, {"device": {"tight": 0.5}})
    low95, low80, high80, high95 = spreads.ends("device", "tight")
    assert (low80, high80) == pytest.approx((math.exp(-0.1), math.exp(0.1)))
    assert low95 < low80 < 1 < high80 < high95
    assert spreads.ends("device", "never met")[1] == pytest.approx(math.exp(-0.2))
