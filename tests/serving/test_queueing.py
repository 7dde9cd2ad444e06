"""The closed forms against each other and textbooks, and the simulator against them."""

import functools

import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.serving.queueing import (
    BulkQueue,
    erlang_c,
    md1_wait,
    mg1_wait,
    mm1_wait,
    mmc_wait,
    train_schedule,
    vehicle_queue,
)
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.timing.step_table import Grid, StepTable

LOADS = (0.3, 0.7, 0.9)


def test_textbook_values():
    assert mm1_wait(arrival_rate=0.5, service_time=2.0 / 3) == pytest.approx(1 / 3)
    assert md1_wait(arrival_rate=0.5, service_time=1.0) == pytest.approx(0.5)
    assert mg1_wait(arrival_rate=0.5, service_time=1.0, service_cv=2.0) == pytest.approx(2.5)
    # Two servers, one erlang: one customer in three waits, for a third of a service on average.
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert mmc_wait(1.0, 1.0, 2) == pytest.approx(1 / 3)
    # A telephone table's row: 10 servers at 7 erlang, 22 % wait.
    assert erlang_c(10, 7.0) == pytest.approx(0.2217, abs=2e-4)


@pytest.mark.parametrize("load", LOADS)
def test_special_cases_agree(load):
    assert mmc_wait(load, 1.0, 1) == pytest.approx(mm1_wait(arrival_rate=load, service_time=1.0))
    alone = BulkQueue(load, 1.0, 1)
    assert alone.prompt_wait == pytest.approx(md1_wait(arrival_rate=load, service_time=1.0))


@pytest.mark.parametrize(("arrivals", "capacity"), [(0.7, 1), (5.6, 8), (57.0, 64)])
def test_vehicle_queue_equals_its_chain(arrivals, capacity):
    """The stationary law of q -> max(q - c, 0) + Poisson(a), iterated numerically."""
    size = 1200
    counts = np.arange(size)
    logs = counts * np.log(arrivals) - arrivals - np.cumsum(np.log(np.maximum(counts, 1)))
    poisson = np.exp(logs)
    law = poisson.copy()
    for _ in range(3000):
        stay = np.concatenate([[law[: capacity + 1].sum()], law[capacity + 1:]])
        after = np.convolve(stay, poisson[:250])[:size]
        if np.abs(after - law).max() < 1e-15:
            break
        law = after / after.sum()
    queue, empty = vehicle_queue(arrivals, capacity)
    assert queue == pytest.approx(float(counts @ law), rel=1e-6)
    assert empty == pytest.approx(float(law[0]), rel=1e-5, abs=1e-12)


def test_light_trains_wait_half_an_interval():
    """Departures every 20 ms with 64 places at 2,000 requests a second: 10 ms, load 0.625."""
    row = train_schedule(2000, 0.020, 64)
    assert row["load"] == pytest.approx(0.625)
    assert row["wait"] == pytest.approx(0.010, rel=0.01)
    assert row["light_worst"] == 0.020 and row["done"] <= 0.040
    with pytest.raises(BadInput, match="settles only below 1"):
        train_schedule(4000, 0.020, 64)


# --- the simulator as a queue ---

FLAT = np.zeros(1)


def constant_step(seconds=1.0, token=0.0):
    """Steps that last `seconds`, plus `token` for each token."""
    ends, past = np.array([1.0, 1e7]), np.array([0.0, 1e7])
    none = np.zeros((2, 2))
    return StepTable(Grid(ends, FLAT, (token * ends)[:, None]), Grid(ends, past, none),
                     Grid(ends, past, none), Grid(ends, FLAT, np.zeros((2, 1))), fixed=seconds)


@functools.cache
def poisson(rate, count, seed=3):
    """Poisson arrivals whose sampled rate is the nominal one (removes its share of the noise)."""
    gaps = np.random.default_rng(seed).exponential(1.0, count)
    return np.cumsum(gaps / gaps.mean() / rate)


def wait_of(rules, rate, count, prompt=None, output=None, table=None):
    one = np.ones(count, np.int64)
    requests = Requests(poisson(rate, count), one if prompt is None else prompt,
                        one if output is None else output)
    return simulate_replica(table or constant_step(), requests, rules).queue_wait.mean()


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
def test_one_seat_and_equal_steps_are_md1(load):
    got = wait_of(Scheduler(max_num_seqs=1), load, 4_000_000)
    assert got == pytest.approx(md1_wait(arrival_rate=load, service_time=1.0), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
def test_exponential_prompts_are_mm1(load):
    """Service in proportion to a prompt of exponential length, read in one step."""
    count = 4_000_000
    sizes = np.random.default_rng(5).exponential(1.0, count)
    prompt = np.maximum(1, np.round(sizes / sizes.mean() * 1e5)).astype(np.int64)
    got = wait_of(Scheduler(8_000_000, 1), load, count, prompt, table=constant_step(0.0, 1e-5))
    assert got == pytest.approx(mm1_wait(arrival_rate=load, service_time=1.0), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
def test_geometric_outputs_are_mm1_through_jumps(load):
    """Service in proportion to an exponential number of decode steps, taken in jumps."""
    count = 4_000_000
    sizes = np.random.default_rng(6).exponential(1.0, count)
    output = np.maximum(1, np.round(sizes / sizes.mean() * 4000)).astype(np.int64)
    got = wait_of(Scheduler(max_num_seqs=1), load / output.mean() / 1e-3, count, output=output,
                  table=constant_step(1e-3))
    expected = mm1_wait(arrival_rate=load, service_time=1.0) * output.mean() * 1e-3
    assert got == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("capacity", [4, 64])
def test_full_steps_are_a_bulk_queue(load, capacity):
    rate = load * capacity
    rules = Scheduler(token_budget=1000, max_num_seqs=capacity)
    assert wait_of(rules, rate, 3_000_000) == pytest.approx(
        BulkQueue(rate, 1.0, capacity).prompt_wait, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
def test_departures_on_a_timetable_are_baileys_queue(load):
    rules = Scheduler(token_budget=1000, max_num_seqs=16, interval=1.0)
    rate = load * 16
    assert wait_of(rules, rate, 3_000_000) == pytest.approx(
        BulkQueue(rate, 1.0, 16).scheduled_wait, rel=0.01)
