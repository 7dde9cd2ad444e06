"""Days, dollars, energy, utilisation and what failures take."""

import pytest

from ridgeline.training import run_plan


def test_worked_run() -> None:
    seconds = run_plan.run_seconds(flop=8.4e23, n_chips=1024, peak_flops_per_s=989.4e12, mfu=0.4)
    energy = run_plan.run_energy(run_time=seconds, n_chips=1024, chip_watts=700.0, pue=1.2)
    assert seconds / 86400 == pytest.approx(23.99, rel=5e-4)
    assert run_plan.run_cost(run_time=seconds, n_chips=1024, usd_per_chip_hour=2.0
                             ) == pytest.approx(1.18e6, rel=5e-3)
    assert energy / 3.6e9 == pytest.approx(495, rel=5e-3)
    assert run_plan.run_emissions(energy=energy, grams_per_kwh=400.0) / 1e3 == pytest.approx(
        198, rel=5e-3)


def test_utilisation_and_the_impossible() -> None:
    per_token = 2 * 70_553_706_496
    low, high = (run_plan.model_flop_utilisation(
        token_rate=rate, flop_per_token=per_token, n_chips=8, peak_flops_per_s=989.4e12)
        for rate in (3200.0, 100_000.0))
    assert low == pytest.approx(0.057, rel=5e-3)
    assert high == pytest.approx(1.78, rel=5e-3)


def test_llama_3_405b_spent_over_nine_tenths_of_its_time_training() -> None:
    # 419 unexpected interruptions in 54 days on 16,384 chips; storage of 2 TB/s.
    chip_mtbf = 54 * 86400 * 16384 / 419
    write = run_plan.checkpoint_seconds(state_bytes=14 * 405.9e9, storage_bandwidth=2e12)
    interval = run_plan.best_checkpoint_interval(checkpoint_time=write,
                                                 mtbf=chip_mtbf / 16384)
    share = run_plan.goodput(checkpoint_time=write, checkpoint_interval=interval,
                             restart_time=600.0, chip_mtbf=chip_mtbf, n_chips=16384)
    assert chip_mtbf / 16384 == pytest.approx(3.09 * 3600, rel=5e-3)
    assert 0.90 < share < 0.95


def test_the_best_interval_is_best() -> None:
    def at(interval: float) -> float:
        return run_plan.goodput(checkpoint_time=30.0, checkpoint_interval=interval,
                                restart_time=300.0, chip_mtbf=2e8, n_chips=8192)

    best = run_plan.best_checkpoint_interval(checkpoint_time=30.0, mtbf=2e8 / 8192)
    assert at(best) > at(best / 2) and at(best) > at(best * 2)
    assert run_plan.goodput(checkpoint_time=30.0, checkpoint_interval=60.0, restart_time=1e4,
                            chip_mtbf=1e5, n_chips=100) == 0.0
