"""Small architectures written by hand, so that these tests need no model file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, ExpertFfn, LatentAttention, Weight


def dense(name: str, layers: int, d: int, ff: int, heads: int, kv: int, head: int, vocab: int,
          *, tied: bool = False, q_bias: bool = False, experts: tuple[int, int] | None = None,
          windows: tuple[int, int] | None = None, expert_bias: bool = False,
          context: int = 131072) -> Architecture:
    """A Llama-like decoder; `windows` = (local layers in a row before a global one, width)."""
    norms = (Weight("norm1", (d,), "norm"), Weight("norm2", (d,), "norm"))
    ffn = (ExpertFfn(experts[0], experts[1], ff, bias=expert_bias) if experts else DenseFfn(ff))

    def block(window: int | None) -> Block:
        return Block(Attention(heads, kv, head, window=window, q_bias=q_bias, kv_bias=q_bias),
                     ffn, norms)

    if windows is None:
        blocks: tuple[tuple[Block, int], ...] = ((block(None), layers),)
    else:
        run, width = windows
        blocks = tuple((block(None if index % (run + 1) == run else width), 1)
                       for index in range(layers))
    head_weights = () if tied else (Weight("lm_head", (d, vocab), "head", "vocab"),)
    return Architecture(name=name, model_type="test", d_model=d, vocab_size=vocab,
                        max_context=context, blocks=blocks,
                        embedding=(Weight("embed", (vocab, d), "embedding", "vocab"),),
                        head=head_weights, tied=tied, final=(Weight("norm", (d,), "norm"),))


def latent(layers: int = 61) -> Architecture:
    """DeepSeek-V3's attention with a small feed-forward."""
    block = Block(LatentAttention(128, 1536, 512, 128, 64, 128), DenseFfn(18432),
                  (Weight("norms", (2 * 7168,), "norm"),))
    return Architecture("mla", "test", 7168, 129280, 131072, ((block, layers),),
                        (Weight("embed", (129280, 7168), "embedding", "vocab"),),
                        (Weight("head", (7168, 129280), "head", "vocab"),), False,
                        (Weight("norm", (7168,), "norm"),))


MODELS: dict[str, Callable[[], Architecture]] = {
    "Llama-2-7B": lambda: dense("Llama-2-7B", 32, 4096, 11008, 32, 32, 128, 32000, context=4096),
    "Llama-3-8B": lambda: dense("Llama-3-8B", 32, 4096, 14336, 32, 8, 128, 128256, context=8192),
    "Llama-3.1-8B": lambda: dense("Llama-3.1-8B", 32, 4096, 14336, 32, 8, 128, 128256),
    "Llama-3.1-70B": lambda: dense("Llama-3.1-70B", 80, 8192, 28672, 64, 8, 128, 128256),
    "Llama-3.3-70B": lambda: dense("Llama-3.3-70B", 80, 8192, 28672, 64, 8, 128, 128256),
    "Qwen2.5-1.5B": lambda: dense("Qwen2.5-1.5B", 28, 1536, 8960, 12, 2, 128, 151936, tied=True,
                                  q_bias=True, context=32768),
    "Qwen2.5-7B": lambda: dense("Qwen2.5-7B", 28, 3584, 18944, 28, 4, 128, 152064, q_bias=True,
                                context=32768),
    "Qwen2.5-14B": lambda: dense("Qwen2.5-14B", 48, 5120, 13824, 40, 8, 128, 152064,
                                 q_bias=True),
    "Qwen2.5-32B": lambda: dense("Qwen2.5-32B", 64, 5120, 27648, 40, 8, 128, 152064,
                                 q_bias=True, context=32768),
    "Qwen3-0.6B": lambda: dense("Qwen3-0.6B", 28, 1024, 3072, 16, 8, 128, 151936, tied=True,
                                context=40960),
    "Qwen3-8B": lambda: dense("Qwen3-8B", 36, 4096, 12288, 32, 8, 128, 151936, context=40960),
    "Phi-4": lambda: dense("Phi-4", 40, 5120, 17920, 40, 10, 128, 100352, context=16384),
    "Qwen3-235B-A22B": lambda: dense("Qwen3-235B-A22B", 94, 4096, 1536, 64, 4, 128, 151936,
                                     experts=(128, 8), context=40960),
    "gpt-oss-20b": lambda: dense("gpt-oss-20b", 24, 2880, 2880, 64, 8, 64, 201088,
                                 experts=(32, 4), windows=(1, 128), expert_bias=True),
    "DeepSeek-V3 attention": latent,
    # Falcon has an ungated feed-forward four times as wide: 2/3 of a gated one in parameters.
    "Falcon 7B": lambda: dense("Falcon 7B", 32, 4544, 4 * 4544 * 2 // 3, 71, 1, 64, 65024,
                               tied=True),
    "Llama 2 13B": lambda: dense("Llama 2 13B", 40, 5120, 13824, 40, 40, 128, 32000),
    "Mistral 7B": lambda: dense("Mistral 7B", 32, 4096, 14336, 32, 8, 128, 32000),
    "Vicuna 7B": lambda: dense("Vicuna 7B", 32, 4096, 11008, 32, 32, 128, 32000),
    "TinyLlama 1B": lambda: dense("TinyLlama 1B", 22, 2048, 5632, 32, 4, 64, 32000),
    "Qwen-1.8B": lambda: dense("Qwen-1.8B", 24, 2048, 5504, 16, 16, 128, 151936),
    "Qwen-7B": lambda: dense("Qwen-7B", 32, 4096, 11008, 32, 32, 128, 151936),
    "Qwen-7B-Chat": lambda: dense("Qwen-7B", 32, 4096, 11008, 32, 32, 128, 151936),
    "CodeLlama 34 B": lambda: dense("CodeLlama 34B", 48, 8192, 22016, 64, 8, 128, 32000),
    "Llama 2 7 B": lambda: dense("Llama 2 7B", 32, 4096, 11008, 32, 32, 128, 32000),
    "Llama 2 70 B": lambda: dense("Llama 2 70B", 80, 8192, 28672, 64, 8, 128, 32000),
    "Llama-3.1-405B": lambda: dense("405B", 126, 16384, 53248, 128, 8, 128, 128256),
    "shisa-v2-llama3.1-8b": lambda: dense("8B", 32, 4096, 14336, 32, 8, 128, 128256),
    "shisa-v2-llama3.3-70b": lambda: dense("70B", 80, 8192, 28672, 64, 8, 128, 128256),
    "Qwen3-32B": lambda: dense("Qwen3-32B", 64, 5120, 25600, 64, 8, 128, 151936),
    "Qwen3-30B-A3B": lambda: dense("Qwen3-30B-A3B", 48, 2048, 768, 32, 4, 128, 151936,
                                   experts=(128, 8)),
    "Hunyuan-A13B": lambda: dense("Hunyuan-A13B", 32, 4096, 3072, 32, 8, 128, 128167,
                                  experts=(64, 8), tied=True),
    # Local layers of Llama 4 keep the last 8,192 tokens, more than these runs reach.
    "Llama-4-Scout": lambda: dense("Llama-4-Scout", 48, 5120, 8192, 40, 8, 128, 202048,
                                   experts=(16, 1)),
    "GLM-4.5-Air": lambda: dense("GLM-4.5-Air", 46, 4096, 1408, 96, 8, 128, 151552,
                                 experts=(128, 8)),
}


@pytest.fixture
def model() -> Callable[[str], Architecture]:
    """Look up a hand-made model."""
    return lambda name: MODELS[name]()


@pytest.fixture
def make_dense() -> Callable[..., Architecture]:
    """Build a Llama-like decoder."""
    return dense
