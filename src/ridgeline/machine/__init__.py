"""Machines: chips, links, clusters."""

from ridgeline.machine.chip import Chip, Cluster, Link

__all__ = ["Chip", "Cluster", "Link"]
