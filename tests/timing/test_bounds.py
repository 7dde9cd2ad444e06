import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.timing.bounds import (
    alpha_beta_speedup,
    attainable_flops_per_s,
    geometric_speedup,
    geometric_speedup_limit,
    overlapped_time,
    ridge_point,
    roofline_time,
    roofline_utilisation,
    serial_time,
)

times = st.floats(1e-9, 1e3)
shares = st.floats(0.0, 1.0)


@given(times, times, shares)
def test_overlap_stays_between_the_bounds_a_factor_two_apart(a: float, b: float, o: float) -> None:
    low, high = roofline_time(t_math=a, t_memory=b), serial_time(t_math=a, t_memory=b)
    between = overlapped_time(t_math=a, t_memory=b, overlap=o)
    assert low * (1 - 1e-12) <= between <= high * (1 + 1e-12) <= 2 * low * (1 + 1e-9)


@given(st.floats(1e-3, 1e5), st.floats(1e9, 1e16), st.floats(1e9, 1e14))
def test_rate_is_the_peak_exactly_from_the_ridge_on(intensity: float, peak: float,
                                                    bandwidth: float) -> None:
    rate = attainable_flops_per_s(intensity=intensity, peak_flops_per_s=peak,
                                  memory_bandwidth=bandwidth)
    ridge = ridge_point(peak_flops_per_s=peak, memory_bandwidth=bandwidth)
    assert rate <= peak
    if abs(intensity / ridge - 1) > 1e-9:
        assert (rate == peak) is (intensity > ridge)
    assert rate == pytest.approx(peak * roofline_utilisation(
        intensity=intensity, peak_flops_per_s=peak, memory_bandwidth=bandwidth), rel=1e-12)


@given(st.integers(1, 4096), st.floats(0.01, 0.999))
def test_geometric_scaling_is_one_at_one_chip_and_never_passes_the_wall(n: int, e: float) -> None:
    assert geometric_speedup(n_chips=1, scaling_efficiency=e) == pytest.approx(1)
    assert (geometric_speedup(n_chips=n, scaling_efficiency=e)
            <= geometric_speedup_limit(scaling_efficiency=e) * (1 + 1e-12))


def test_latency_makes_more_chips_slower_in_the_end() -> None:
    def speed(n: int) -> float:
        return float(alpha_beta_speedup(t_work=1e-3, n_chips=n, message_bytes=1e6,
                                        network_bandwidth=450e9, link_latency=2e-6))
    assert speed(1) == 1
    assert speed(8) > speed(1) and speed(8) > speed(256)
