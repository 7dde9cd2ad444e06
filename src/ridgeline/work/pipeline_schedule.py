"""Pipeline parallelism: bubbles, latency, throughput and what a stage hands on. Pure formulas."""

from __future__ import annotations

from ridgeline.numeric import Numeric, minimum

__all__ = ["interleaved_pipeline_bubble", "pipeline_bubble", "pipeline_hop_bytes",
           "pipeline_latency", "pipeline_throughput"]


def pipeline_bubble(*, pp: Numeric, n_microbatches: Numeric) -> Numeric:
    """Share of a pipelined step in which a stage waits.

        bubble = (p - 1) / (m + p - 1)

    Args:
        pp: pipeline stages p [1].
        n_microbatches: microbatches in flight m [1].
    Returns:
        idle share [1].
    Raises:
        ZeroDivisionError: one stage and no microbatch, for plain floats.
    Valid for: equal stages; GPipe and 1F1B alike.
    Sources: Huang et al., "GPipe", arXiv 1811.06965.

    >>> round(pipeline_bubble(pp=8, n_microbatches=32), 3)
    0.179
    """
    return (pp - 1.0) / (n_microbatches + pp - 1.0)


def interleaved_pipeline_bubble(*, pp: Numeric, n_microbatches: Numeric,
                                n_virtual: Numeric) -> Numeric:
    """Idle share of a pipeline whose chips each hold several thin stages.

        bubble = (p - 1) / (v * m + p - 1)

    Args:
        pp: pipeline chips p [1].
        n_microbatches: microbatches in flight m [1].
        n_virtual: stages on each chip v [1].
    Returns:
        idle share [1].
    Raises:
        ZeroDivisionError: one chip and no microbatch, for plain floats.
    Valid for: equal stages; sends v times as many activations.
    Sources: Narayanan et al., arXiv 2104.04473.

    >>> round(interleaved_pipeline_bubble(pp=8, n_microbatches=32, n_virtual=4), 3)
    0.052
    """
    return (pp - 1.0) / (n_virtual * n_microbatches + pp - 1.0)


def pipeline_hop_bytes(*, batch_size: Numeric, d_model: Numeric, bytes_in: Numeric) -> Numeric:
    """Activations one pipeline stage hands to the next.

        bytes = B * d_model * b

    Args:
        batch_size: tokens in the microbatch B [1].
        d_model: model width [1].
        bytes_in: of one activation [B].
    Returns:
        bytes of one hop [B].
    Raises:
        nothing.
    Valid for: one residual stream.
    Sources: Huang et al., "GPipe", arXiv 1811.06965.

    >>> pipeline_hop_bytes(batch_size=64, d_model=8192, bytes_in=2)
    1048576
    """
    return batch_size * d_model * bytes_in


def pipeline_latency(*, pp: Numeric, t_stage: Numeric, t_hop: Numeric = 0.0) -> Numeric:
    """Time of one step through a pipeline: every stage in turn, and the hops between.

        t = p * t_stage + (p - 1) * t_hop

    Args:
        pp: pipeline stages p [1].
        t_stage: time of one stage [s].
        t_hop: time of one hand-over [s].
    Returns:
        latency of one step [s]; splitting over stages does not shorten it.
    Raises:
        nothing.
    Valid for: equal stages, an empty pipeline.
    Sources: own derivation.

    >>> round(pipeline_latency(pp=4, t_stage=35e9 / 3.35e12) * 1e3, 1)
    41.8
    """
    return pp * t_stage + (pp - 1.0) * t_hop


def pipeline_throughput(*, pp: Numeric, n_microbatches: Numeric, batch_size: Numeric,
                        t_stage: Numeric) -> Numeric:
    """Tokens per second of a decode pipeline with several microbatches in rotation.

        throughput = min(m / p, 1) * B / t_stage

    Args:
        pp: pipeline stages p [1].
        n_microbatches: microbatches in rotation m [1].
        batch_size: sequences in one microbatch B [1].
        t_stage: time of one stage for one microbatch [s].
    Returns:
        tokens per second [token/s].
    Raises:
        ZeroDivisionError: no stages or no time, for plain floats.
    Valid for: equal stages in steady state; p microbatches fill the pipeline.
    Sources: own derivation.

    >>> pipeline_throughput(pp=4, n_microbatches=4, batch_size=8, t_stage=0.01)
    800.0
    """
    return minimum(n_microbatches / pp, 1.0) * batch_size / t_stage
