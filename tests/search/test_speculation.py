"""Speculative decoding as a change of step times."""

import pytest

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Cluster
from ridgeline.model.load import load_architecture
from ridgeline.search.speculation import Draft, DraftedDeployed, drafted_table, read_draft
from ridgeline.serving.deployed import Deployed


@pytest.fixture(scope="module")
def plain():
    architecture, chip, plan = load_architecture("Llama-3.1-8B"), load_chip("H100-SXM"), \
        Deployment()
    return Deployed(architecture, plan, Cluster.of(chip, 1),
                    settle_formats(architecture, plan, chip), 2000)


def step(table, n, context):
    return float(table.seconds(sequences=n, context=context))


def test_one_token_of_no_draft_is_a_plain_step(plain):
    table = drafted_table(plain.table, Draft(0, 1.0), 0.0)
    for n in (1.0, 16.0, 200.0):
        assert step(table, n, 1000.0) == pytest.approx(step(plain.table, n, 1000.0), rel=1e-9)


def test_the_formula_at_a_knot(plain):
    draft, cost = Draft(3, 2.5), 0.05
    table, one = drafted_table(plain.table, draft, cost), plain.table
    context = float(one.decode.y[-4])
    for n in (1.0, 8.0, 16.0):
        verify = (one.fixed + one.tokens(4 * n) + one.decode(n, context) + one.logits(4 * n))
        wanted = (verify + 3 * cost * step(one, n, context)) / 2.5
        assert step(table, n, context) == pytest.approx(wanted, rel=1e-9)


def test_more_accepted_is_faster_and_the_deployment_takes_it(plain):
    slow, fast = (DraftedDeployed(plain.architecture, plain.deployment, plain.cluster,
                                  plain.formats, 2000, draft=Draft(4, accepted))
                  for accepted in (1.5, 3.4))
    assert step(fast.table, 8.0, 900.0) < step(slow.table, 8.0, 900.0)
    assert step(fast.table, 1.0, 900.0) < step(plain.table, 1.0, 900.0)


def test_reading():
    assert read_draft(None, None) is None
    assert read_draft(4, "0.8").tokens_per_step == pytest.approx(3.3616)
    assert read_draft(3, "0.8,0.7,0.6").tokens_per_step == pytest.approx(2.696)
    assert read_draft(4, "0.8,0.5").tokens_per_step == pytest.approx(1 + 0.8 + 0.4 + 0.2 + 0.1)
    measured = read_draft(8, "deepseek-v4-pro-mtp-thinking")
    assert measured.tokens_per_step == 2.58
    assert "SPEED-Bench" in measured.source


@pytest.mark.parametrize(("length", "acceptance", "cost"), [
    (None, "0.8", None), (3, None, None), (0, "0.8", None), (99, "0.8", None), (3, "-0.1", None),
    (3, "nan", None), (3, ",", None), (3, "0.8", 2.0), (None, None, 0.1), (9, "glm-5.2-mtp", None),
    (3, "gml-5.2-mtp", None)])
def test_nonsense(length, acceptance, cost):
    with pytest.raises(BadInput):
        read_draft(length, acceptance, cost)
