"""Layouts that the formulas know and an engine's own options cannot express."""

from __future__ import annotations

from ridgeline.deployment import Deployment

__all__ = ["splits_experts_freely", "unrunnable"]

# Engines with one switch for expert parallelism: over the whole group, or not at all.
_ALL_OR_NONE = ("vllm",)
# Engines that copy the attention onto every chip of the group, or onto none.
_COPY_EACH = ("trtllm",)


def splits_experts_freely(engine: str) -> bool:
    """Whether experts may be spread over some chips and each split over the others.

    >>> splits_experts_freely("vllm"), splits_experts_freely("sglang")
    (False, True)
    """
    return engine not in _ALL_OR_NONE


def unrunnable(deployment: Deployment) -> str:
    """Why the engine cannot run a layout; "" when it can.

    >>> unrunnable(Deployment(engine="vllm", tp=8, ep=2))
    'vLLM splits experts over all 8 chips or not at all, not ep=2'
    """
    group = deployment.expert_group
    if deployment.engine in _ALL_OR_NONE and 1 < deployment.ep < group:
        return f"vLLM splits experts over all {group} chips or not at all, not ep={deployment.ep}"
    if deployment.engine in _COPY_EACH and deployment.attention_dp > 1 and deployment.tp > 1:
        return ("TensorRT-LLM runs one attention copy a chip or one in all, not "
                f"{deployment.attention_dp} of tp={deployment.tp}")
    return ""
