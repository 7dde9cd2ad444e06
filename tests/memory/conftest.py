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
}


@pytest.fixture
def model() -> Callable[[str], Architecture]:
    """Look up a hand-made model."""
    return lambda name: MODELS[name]()


@pytest.fixture
def make_dense() -> Callable[..., Architecture]:
    """Build a Llama-like decoder."""
    return dense
