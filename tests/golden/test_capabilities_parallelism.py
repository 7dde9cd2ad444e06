"""Worked values of parallel plans and links, at 0.5 %."""

from typing import Any

import pytest

from ridgeline.quantity import parse_quantity
from ridgeline.timing.textbook import latency_floor
from ridgeline.work.communication_volume import (
    bandwidth_ratio,
    context_parallel_kv_bytes,
    data_parallel_all_reduce_time,
    domain_memory_bytes,
    expert_parallel_bytes_per_token,
    expert_parallel_time,
    kv_transfer_time,
    leaving_domain_share,
    network_time,
    ring_attention_bytes,
    ring_attention_bytes_per_hop,
    tensor_parallel_bytes,
    tensor_parallel_time,
    zero3_bytes,
)
from ridgeline.work.pipeline_schedule import (
    interleaved_pipeline_bubble,
    pipeline_bubble,
    pipeline_hop_bytes,
    pipeline_latency,
    pipeline_throughput,
)

from .shapes import H100, LLAMA_8B, LLAMA_70B

TP8: dict[str, Any] = {"n_layers": 80, "tp": 8, "batch_size": 64, "d_model": 8192, "bytes_in": 2}


def near(value: float, rel: float = 0.005) -> Any:
    return pytest.approx(value, rel=rel)


@pytest.mark.parametrize(("bandwidth", "seconds"), [(450e9, 652e-6), (50e9, 5.87e-3)])
def test_tensor_parallel(bandwidth: float, seconds: float) -> None:
    assert tensor_parallel_time(**TP8, network_bandwidth=bandwidth) == near(seconds)
    late = tensor_parallel_time(**TP8, network_bandwidth=bandwidth, link_latency=10e-6)
    assert late - seconds == near(1.6e-3, 0.02)
    assert tensor_parallel_bytes(**TP8) / bandwidth == near(seconds)


def test_pipeline() -> None:
    assert pipeline_bubble(pp=8, n_microbatches=32) == near(0.179)
    assert interleaved_pipeline_bubble(pp=8, n_microbatches=32, n_virtual=4) == near(0.052)
    stage = 35e9 / H100.bandwidth
    assert pipeline_latency(pp=4, t_stage=stage) == near(41.8e-3)
    assert latency_floor(params_read=70e9, bytes_per_param=2, n_chips=4,
                         memory_bandwidth=H100.bandwidth) == near(10.4e-3)
    alone = pipeline_throughput(pp=4, n_microbatches=1, batch_size=8, t_stage=stage)
    full = pipeline_throughput(pp=4, n_microbatches=4, batch_size=8, t_stage=stage)
    extra = pipeline_throughput(pp=4, n_microbatches=9, batch_size=8, t_stage=stage)
    assert full == near(4 * alone, 1e-12)
    assert extra == full, "more microbatches than stages add nothing"
    assert alone == near(8 / pipeline_latency(pp=4, t_stage=stage))
    assert pipeline_hop_bytes(batch_size=64, d_model=8192, bytes_in=2) == 2**20


def test_expert_parallel() -> None:
    per_token = expert_parallel_bytes_per_token(n_moe_layers=58, top_k=8, d_model=7168,
                                                bytes_dispatch=1, bytes_combine=2)
    assert per_token == near(9.98e6)
    for bandwidth, seconds in ((900e9, 1.42e-3), (100e9, 12.8e-3)):
        assert expert_parallel_time(bytes_per_token=per_token, tokens_per_chip=128,
                                    network_bandwidth=bandwidth) == near(seconds)
    for inside, outside, ratio in ((450e9, 50e9, 9), (900e9, 50e9, 18), (900e9, 100e9, 9)):
        assert bandwidth_ratio(scale_up_bandwidth=inside, scale_out_bandwidth=outside) == ratio
    assert leaving_domain_share(n_domains=4) == 0.75
    assert domain_memory_bytes(n_chips=72, memory_bytes=186e9) == near(13.4e12)


def test_data_parallel() -> None:
    given: dict[str, Any] = {"params": LLAMA_8B.params, "bytes_per_param": 2, "dp": 64}
    time = data_parallel_all_reduce_time(**given, network_bandwidth=8 * 50e9)
    assert time == near(79e-3)
    assert zero3_bytes(**given) / 400e9 == near(1.5 * time, 1e-9)


def test_context_parallel() -> None:
    given: dict[str, Any] = {"context_length": 1e6, "cp": 8,
                             "kv_bytes_per_token": LLAMA_70B.kv_bytes_per_token}
    held = context_parallel_kv_bytes(**given)
    assert held == near(41e9)
    assert ring_attention_bytes_per_hop(**given) == 2 * held
    assert ring_attention_bytes(**given) == 7 * held


def test_nvlink_against_infiniband() -> None:
    nvlink = parse_quantity("900 GB/s", "B/s") / 2
    infiniband = parse_quantity("400 Gbit/s", "B/s")
    assert (nvlink, infiniband) == (450e9, 50e9)
    assert bandwidth_ratio(scale_up_bandwidth=nvlink, scale_out_bandwidth=infiniband) == 9
    sent = tensor_parallel_bytes(**TP8)
    assert network_time(message_bytes=sent, network_bandwidth=infiniband) == near(
        9 * network_time(message_bytes=sent, network_bandwidth=nvlink), 1e-9)


def test_prefill_to_decode_transfer() -> None:
    assert 8192 * LLAMA_70B.kv_bytes_per_token == near(2.68e9)
    assert kv_transfer_time(prompt_tokens=8192, kv_bytes_per_token=LLAMA_70B.kv_bytes_per_token,
                            network_bandwidth=8 * 50e9) == near(6.7e-3)
