"""What a sequence keeps between steps: KV cache, windows, latents, blocks, recurrent state."""

from __future__ import annotations

from ridgeline.numeric import Numeric, ceil_div, maximum, minimum


def kv_bytes_per_token(*, n_layers: Numeric, n_kv_heads: Numeric, head_dim: Numeric,
                       bytes_per_element: Numeric = 2.0) -> Numeric:
    """Bytes one token of context keeps with MHA, GQA or MQA: a key and a value a layer.

        bytes = 2 * n_layers * n_kv_heads * head_dim * bytes_per_element

    Args:
        n_layers: attention layers [1].
        n_kv_heads: key and value heads (not query heads) [1].
        head_dim: width of a head [1].
        bytes_per_element: of the cache format, scales included [bytes].

    Returns:
        bytes per token.

    Sources: definition (grouped-query attention, arXiv 2305.13245). Llama-3-70B: 327,680.
    >>> kv_bytes_per_token(n_layers=80, n_kv_heads=8, head_dim=128)
    327680.0
    """
    return 2.0 * n_layers * n_kv_heads * head_dim * bytes_per_element


def latent_bytes_per_token(*, n_layers: Numeric, kv_lora_rank: Numeric,
                           qk_rope_head_dim: Numeric,
                           bytes_per_element: Numeric = 2.0) -> Numeric:
    """Bytes one token keeps with latent attention: one shared latent and one rotary key a layer.

        bytes = n_layers * (kv_lora_rank + qk_rope_head_dim) * bytes_per_element

    Args:
        n_layers: latent-attention layers [1].
        kv_lora_rank: width of the latent [1].
        qk_rope_head_dim: width of the rotary key [1].
        bytes_per_element: of the cache format [bytes].

    Returns:
        bytes per token; every tensor-parallel device keeps all of them.

    Sources: DeepSeek-V2 (arXiv 2405.04434) section 2.1. DeepSeek-V3: 70,272.
    >>> latent_bytes_per_token(n_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
    70272.0
    """
    return n_layers * (kv_lora_rank + qk_rope_head_dim) * bytes_per_element


def kv_heads_per_device(*, n_kv_heads: Numeric, tp: Numeric) -> Numeric:
    """KV heads that the fullest device holds; heads are copied when there are more devices.

        heads = max(1, ceil(n_kv_heads / tp))

    Args:
        n_kv_heads: of the model [1].
        tp: tensor-parallel degree [1].

    Returns:
        heads [1].

    Sources: as Megatron-LM and vLLM shard QKV.
    >>> [kv_heads_per_device(n_kv_heads=8, tp=t) for t in (1, 8, 16)]
    [8.0, 1.0, 1.0]
    """
    return maximum(1.0, ceil_div(n_kv_heads, tp))


def kept_tokens(*, context_length: Numeric, window: Numeric, sink_tokens: Numeric = 0.0) -> Numeric:
    """Tokens a sliding-window layer keeps, with the first few kept for ever as sinks.

        tokens = min(context_length, window + sink_tokens)

    Args:
        context_length: tokens so far [tokens].
        window: width of the window [tokens].
        sink_tokens: first tokens kept besides (StreamingLLM) [tokens].

    Returns:
        tokens.

    Sources: Mistral 7B (arXiv 2310.06825); StreamingLLM (arXiv 2309.17453).
    >>> kept_tokens(context_length=131072, window=1024, sink_tokens=4)
    1028.0
    """
    return 1.0 * minimum(context_length, window + sink_tokens)


def paged_tokens(*, context_length: Numeric, block_size: Numeric = 16.0) -> Numeric:
    """Tokens reserved for a sequence when the cache is handed out in blocks.

        tokens = ceil(context_length / block_size) * block_size

    Args:
        context_length: tokens so far [tokens].
        block_size: tokens in a block [tokens].

    Returns:
        tokens.

    Sources: PagedAttention (arXiv 2309.06180).
    >>> paged_tokens(context_length=1000)
    1008.0
    """
    return ceil_div(context_length, block_size) * block_size


def mixed_kv_bytes(*, context_length: Numeric, batch_size: Numeric, full_bytes_per_token: Numeric,
                   window_bytes_per_token: Numeric, window: Numeric,
                   state_bytes_per_sequence: Numeric = 0.0) -> Numeric:
    """Cache of a batch with full layers, windowed layers and constant recurrent state.

        bytes = batch_size * (context_length * full_bytes_per_token
                              + min(context_length, window) * window_bytes_per_token
                              + state_bytes_per_sequence)

    Args:
        context_length: tokens a sequence holds [tokens].
        batch_size: sequences [1].
        full_bytes_per_token: of the layers that keep everything [bytes].
        window_bytes_per_token: of the layers that keep a window [bytes].
        window: its width [tokens].
        state_bytes_per_sequence: recurrent and convolution state [bytes].

    Returns:
        bytes.

    Sources: derivation. 62 layers of 16 KV heads x 128, five local to one global, window 1,024,
    at 131,072 tokens: 11.2 GB against 66.6 GB when all are full (Gemma 3, arXiv 2503.19786).
    >>> per_layer = 2 * 16 * 128 * 2
    >>> round(mixed_kv_bytes(context_length=131072, batch_size=1, window=1024,
    ...       full_bytes_per_token=10 * per_layer, window_bytes_per_token=52 * per_layer) / 1e9, 1)
    11.2
    """
    return batch_size * (context_length * full_bytes_per_token
                         + minimum(context_length, window) * window_bytes_per_token
                         + state_bytes_per_sequence)


def ideal_tokens(*, memory_bytes: Numeric, weight_bytes: Numeric, kv_bytes_per_token: Numeric,
                 overhead_bytes: Numeric = 0.0, fraction: Numeric = 1.0) -> Numeric:
    """Context tokens that fit beside the weights, nothing else counted.

        tokens = max(0, fraction * memory_bytes - weight_bytes - overhead_bytes)
                 / kv_bytes_per_token

    Args:
        memory_bytes: of all devices together [bytes].
        weight_bytes: of the model [bytes].
        kv_bytes_per_token: cache of one token over all layers [bytes].
        overhead_bytes: set aside for anything else [bytes].
        fraction: share of memory used [1].

    Returns:
        tokens (not rounded), all sequences together.

    Sources: derivation. Llama-3-8B in bf16 on 24 GB with 1 GB set aside: 52,944.
    >>> int(ideal_tokens(memory_bytes=24e9, weight_bytes=2 * 8_030_261_248,
    ...                  kv_bytes_per_token=131072, overhead_bytes=1e9))
    52944
    """
    free = fraction * memory_bytes - weight_bytes - overhead_bytes
    return maximum(0.0, free) / kv_bytes_per_token


def ideal_batch(*, memory_bytes: Numeric, weight_bytes: Numeric, kv_bytes_per_token: Numeric,
                context_length: Numeric, overhead_bytes: Numeric = 0.0,
                fraction: Numeric = 1.0) -> Numeric:
    """Sequences of one length that fit beside the weights, nothing else counted.

        batch = ideal_tokens / context_length

    Args:
        memory_bytes: of all devices together [bytes].
        weight_bytes: of the model [bytes].
        kv_bytes_per_token: cache of one token over all layers [bytes].
        context_length: tokens a sequence holds [tokens].
        overhead_bytes: set aside for anything else [bytes].
        fraction: share of memory used [1].

    Returns:
        sequences (not rounded).

    Sources: derivation. Llama-3-70B in bf16, 8 x 80 GB, fraction 0.9, 8,192 tokens: 162.
    >>> int(ideal_batch(memory_bytes=640e9, weight_bytes=2 * 70_553_706_496, fraction=0.9,
    ...                 kv_bytes_per_token=327680, context_length=8192))
    162
    """
    return ideal_tokens(memory_bytes=memory_bytes, weight_bytes=weight_bytes,
                        kv_bytes_per_token=kv_bytes_per_token, overhead_bytes=overhead_bytes,
                        fraction=fraction) / context_length


def ideal_devices(*, total_bytes: Numeric, memory_bytes: Numeric,
                  fraction: Numeric = 1.0) -> Numeric:
    """Fewest devices that hold a number of bytes when all of it divides evenly.

        devices = ceil(total_bytes / (fraction * memory_bytes))

    Args:
        total_bytes: to be held [bytes].
        memory_bytes: of one device [bytes].
        fraction: share of it used [1].

    Returns:
        devices [1].

    Sources: derivation. 140 GB on 80 GB: 2. 1,128.9 GB of training state: 15.
    >>> ideal_devices(total_bytes=140e9, memory_bytes=80e9)
    2.0
    """
    return ceil_div(total_bytes, fraction * memory_bytes)
