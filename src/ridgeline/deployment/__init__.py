"""Deployments: how a model is laid over chips."""

from ridgeline.deployment.deployment import Deployment

__all__ = ["Deployment"]
