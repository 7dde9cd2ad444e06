"""Chips and models of the worked examples: nominal datasheet values, efficiencies 1."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    bf16: float
    bandwidth: float
    fp8: float = 0.0

    @property
    def ridge(self) -> float:
        return self.bf16 / self.bandwidth


@dataclass(frozen=True)
class Shape:
    params: float
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    kv_bytes_per_token: float


A100 = Peak(312e12, 2.039e12)
H100 = Peak(989.4e12, 3.35e12, 1978.9e12)
H200 = Peak(989.4e12, 4.8e12, 1978.9e12)
B200 = Peak(2250e12, 8.0e12, 4500e12)
V5E = Peak(197e12, 0.82e12, 394e12)          # int8 rate in the fp8 field
RTX4090 = Peak(165.2e12, 1.008e12)

LLAMA_70B = Shape(70_553_706_496, 80, 8192, 64, 8, 327_680)
LLAMA_8B = Shape(8_030_261_248, 32, 4096, 32, 8, 131_072)
QWEN_7B = Shape(7_615_616_512, 28, 3584, 28, 4, 57_344)
DEEPSEEK_TOTAL, DEEPSEEK_ACTIVE, DEEPSEEK_KV = 671e9, 37e9, 70_272
