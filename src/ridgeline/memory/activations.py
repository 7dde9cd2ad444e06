"""Activations kept for the backward pass, by parallelism and recomputation policy.

Bytes are of 16-bit activations. The transformer of the Korthikanti formulas has a plain feed-
forward four times as wide and dropout; `gated_layer` counts a Llama-like layer by its tensors.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric, minimum, sqrt


def layer_tensor_parallel(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric,
                          n_heads: Numeric, tp: Numeric = 1.0) -> Numeric:
    """One layer, nothing recomputed, scores materialised, split by tensor parallelism only.

        bytes = s b h (10 + 24 / t + 5 a s / (h t));   t = 1: s b h (34 + 5 a s / h)

    Args:
        seq_len: s [tokens].
        batch_size: b, sequences in a microbatch [1].
        d_model: h [1].
        n_heads: a [1].
        tp: t [1].

    Returns:
        bytes on one device.

    Sources: Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 and 2.
    >>> round(32 * layer_tensor_parallel(seq_len=8192, batch_size=1, d_model=4096,
    ...                                  n_heads=32) / 1e9, 1)
    380.1
    """
    scores = 5.0 * n_heads * seq_len / (d_model * tp)
    return seq_len * batch_size * d_model * (10.0 + 24.0 / tp + scores)


def layer_sequence_parallel(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric,
                            n_heads: Numeric, tp: Numeric = 1.0) -> Numeric:
    """One layer, nothing recomputed, scores materialised, tensor and sequence parallel.

        bytes = s b h (34 + 5 a s / h) / t

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        n_heads: a [1].
        tp: t [1].

    Returns:
        bytes on one device.

    Sources: Korthikanti et al. 2022, equation 4.
    >>> layer_sequence_parallel(seq_len=2048, batch_size=1, d_model=1024, n_heads=16, tp=8) / 2**20
    48.5
    """
    return seq_len * batch_size * d_model * (34.0 + 5.0 * n_heads * seq_len / d_model) / tp


def layer_selective(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric,
                    tp: Numeric = 1.0, ffn_ratio: Numeric = 4.0) -> Numeric:
    """One layer with attention scores recomputed, or never stored (FlashAttention).

        bytes = s b h (18 + 4 ffn_ratio) / t;   34 s b h / t with the usual ratio 4

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        tp: t, with sequence parallelism [1].
        ffn_ratio: width of the plain feed-forward over d_model [1].

    Returns:
        bytes on one device.

    Sources: Korthikanti et al. 2022, equation 6; the split 18 + 16 as Megatron-LM counts it.
    >>> round(80 * layer_selective(seq_len=8192, batch_size=1, d_model=8192, tp=8) / 1e9, 1)
    22.8
    """
    return seq_len * batch_size * d_model * (18.0 + 4.0 * ffn_ratio) / tp


def layer_input(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric,
                shards: Numeric = 1.0) -> Numeric:
    """The only tensor a fully recomputed layer keeps: its input.

        bytes = 2 s b h / shards

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        shards: devices it is split over [1].

    Returns:
        bytes on one device.

    Sources: Korthikanti et al. 2022, section 5.
    >>> layer_input(seq_len=2048, batch_size=1, d_model=4096) / 2**20
    16.0
    """
    return 2.0 * seq_len * batch_size * d_model / shards


def full_recompute(*, n_layers: Numeric, layer_bytes: Numeric, input_bytes: Numeric) -> Numeric:
    """A stack with every layer recomputed: all inputs, and one layer's tensors at a time.

        bytes = n_layers * input_bytes + layer_bytes

    Args:
        n_layers: layers on the device, times microbatches in flight [1].
        layer_bytes: one layer when stored [bytes].
        input_bytes: one layer's input [bytes].

    Returns:
        bytes.

    Sources: derivation.
    >>> shape = dict(seq_len=8192, batch_size=1, d_model=4096)
    >>> round(full_recompute(n_layers=32, layer_bytes=layer_selective(**shape),
    ...                      input_bytes=layer_input(**shape)) / 1e9, 2)
    3.29
    """
    return n_layers * input_bytes + layer_bytes


def segmented_recompute(*, n_layers: Numeric, n_segments: Numeric, layer_bytes: Numeric,
                        input_bytes: Numeric) -> Numeric:
    """Checkpoints every few layers: the inputs of the segments, and one segment's tensors.

        bytes = n_segments * input_bytes + n_layers / n_segments * layer_bytes

    Args:
        n_layers: L [1].
        n_segments: checkpoints [1].
        layer_bytes: one layer when stored [bytes].
        input_bytes: one checkpoint [bytes].

    Returns:
        bytes; smallest at `best_segments`.

    Sources: Chen et al. 2016, "Training deep nets with sublinear memory cost" (arXiv 1604.06174).
    >>> segmented_recompute(n_layers=64, n_segments=8, layer_bytes=1.0, input_bytes=1.0)
    16.0
    """
    return n_segments * input_bytes + n_layers / n_segments * layer_bytes


def best_segments(*, n_layers: Numeric, layer_bytes: Numeric, input_bytes: Numeric) -> Numeric:
    """Number of checkpoints that makes `segmented_recompute` smallest: the sqrt(L) rule.

        n_segments = sqrt(n_layers * layer_bytes / input_bytes)

    Args:
        n_layers: L [1].
        layer_bytes: one layer when stored [bytes].
        input_bytes: one checkpoint [bytes].

    Returns:
        segments (not rounded).

    Sources: derivative of `segmented_recompute`; arXiv 1604.06174 with equal sizes.
    >>> best_segments(n_layers=64, layer_bytes=1.0, input_bytes=1.0)
    8.0
    """
    return sqrt(n_layers * layer_bytes / input_bytes)


def gated_layer(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric, d_ff: Numeric,
                n_heads: Numeric, n_kv_heads: Numeric, head_dim: Numeric,
                tp: Numeric = 1.0) -> Numeric:
    """A Llama-like layer, tensor by tensor: RMSNorm, grouped heads, flash attention, SwiGLU.

        bytes = s b / t * (2 (2 h) norm inputs + 2 (2 h) norm outputs
                           + 2 (2 a + 2 k) d + 4 a   q, attention output, k, v, log-sum-exp
                           + 2 (4 f))                gate, up, silu(gate), product

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        d_ff: f [1].
        n_heads: a [1].
        n_kv_heads: k [1].
        head_dim: d [1].
        tp: t, with sequence parallelism [1].

    Returns:
        bytes on one device. No dropout; nothing recomputed but attention scores.

    Sources: derivation: the tensors autograd keeps for each op.
    >>> one = gated_layer(seq_len=1, batch_size=1, d_model=4096, d_ff=14336, n_heads=32,
    ...                   n_kv_heads=8, head_dim=128)
    >>> int(one)
    168064
    """
    norms = 8.0 * d_model
    heads = 4.0 * (n_heads + n_kv_heads) * head_dim + 4.0 * n_heads
    return seq_len * batch_size * (norms + heads + 8.0 * d_ff) / tp


def logits(*, seq_len: Numeric, batch_size: Numeric, vocab_size: Numeric, tp: Numeric = 1.0,
           bytes_per_logit: Numeric = 4.0) -> Numeric:
    """Logits kept for the loss.

        bytes = bytes_per_logit * s b V / t

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        vocab_size: V [1].
        tp: t, head split by vocabulary [1].
        bytes_per_logit: 4 for fp32; about 12 for eager PyTorch, that holds 16-bit logits, their
            fp32 copy, log-probabilities and a gradient; 0 for a fused loss [bytes].

    Returns:
        bytes.

    Sources: Korthikanti et al. 2022, section 4.3.
    >>> round(logits(seq_len=8192, batch_size=1, vocab_size=128256) / 1e9, 2)
    4.2
    """
    return bytes_per_logit * seq_len * batch_size * vocab_size / tp


def output_layer(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric, vocab_size: Numeric,
                 tp: Numeric = 1.0) -> Numeric:
    """Final norm, head and loss where they lie on the fullest pipeline stage.

        bytes = 4 s b h (1 + V / h) / t

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        vocab_size: V [1].
        tp: t [1].

    Returns:
        bytes.

    Sources: Korthikanti et al. 2022, section 4.3 (no pipeline: first and last stage are one).
    >>> output_layer(seq_len=2048, batch_size=1, d_model=4096, vocab_size=4096) / 2**20
    64.0
    """
    return 4.0 * seq_len * batch_size * d_model * (1.0 + vocab_size / d_model) / tp


def embedding_dropout(*, seq_len: Numeric, batch_size: Numeric, d_model: Numeric,
                      in_flight: Numeric, tp: Numeric = 1.0) -> Numeric:
    """Dropout mask behind the embedding, one for each microbatch in flight.

        bytes = s b h * in_flight / t

    Args:
        seq_len: s [tokens].
        batch_size: b [1].
        d_model: h [1].
        in_flight: microbatches the first stage keeps [1].
        tp: t [1].

    Returns:
        bytes.

    Sources: Korthikanti et al. 2022, section 4.3.
    >>> embedding_dropout(seq_len=1024, batch_size=1, d_model=1024, in_flight=8, tp=8) / 2**20
    1.0
    """
    return seq_len * batch_size * d_model * in_flight / tp


def stage_layers(*, n_layers: Numeric, pp: Numeric, n_microbatches: Numeric) -> Numeric:
    """Layers' worth of activations on the first stage of a 1F1B pipeline.

        layers = n_layers / pp * min(pp, n_microbatches)

    Args:
        n_layers: of the model [1].
        pp: pipeline stages [1].
        n_microbatches: of a step [1].

    Returns:
        layers times microbatches in flight [1].

    Sources: Narayanan et al. 2021 (arXiv 2104.04473), section 2.2.
    >>> stage_layers(n_layers=96, pp=8, n_microbatches=64)
    96.0
    """
    return n_layers / pp * minimum(pp, n_microbatches)


def interleaved_layers(*, n_layers: Numeric, pp: Numeric, chunks: Numeric) -> Numeric:
    """Layers' worth of activations on the first stage of an interleaved 1F1B pipeline.

        layers = n_layers * (1 + (pp - 1) / (pp * chunks))

    Args:
        n_layers: of the model [1].
        pp: stages [1].
        chunks: model chunks on a stage [1].

    Returns:
        layers times microbatches in flight [1]; needs at least pp microbatches.

    Sources: Korthikanti et al. 2022, section 4.2.3.
    >>> interleaved_layers(n_layers=96, pp=8, chunks=3)
    124.0
    """
    return n_layers * (1.0 + (pp - 1.0) / (pp * chunks))


def reversible(*, layer_bytes: Numeric, input_bytes: Numeric) -> Numeric:
    """A reversible stack of any depth: two streams and one layer's tensors.

        bytes = 2 * input_bytes + layer_bytes

    Args:
        layer_bytes: one layer when stored [bytes].
        input_bytes: one stream [bytes].

    Returns:
        bytes, whatever the depth.

    Sources: Gomez et al. 2017, "The reversible residual network" (arXiv 1707.04585).
    >>> shape = dict(seq_len=8192, batch_size=1, d_model=4096)
    >>> round(reversible(layer_bytes=layer_selective(**shape),
    ...                  input_bytes=layer_input(**shape)) / 1e9, 3)
    1.275
    """
    return 2.0 * input_bytes + layer_bytes


def training_flop(*, n_params: Numeric, tokens: Numeric, recomputed: Numeric = 0.0) -> Numeric:
    """FLOP of training with a share of the forward pass done twice.

        flop = (6 + 2 * recomputed) * n_params * tokens

    Args:
        n_params: N, active parameters [1].
        tokens: D [tokens].
        recomputed: 0 none, 1 full checkpointing or a reversible net [1].

    Returns:
        FLOP.

    Sources: forward 2, backward 4, and 2 for a second forward, each per parameter and token.
    >>> training_flop(n_params=1.0, tokens=1.0, recomputed=1.0)
    8.0
    """
    return (6.0 + 2.0 * recomputed) * n_params * tokens
