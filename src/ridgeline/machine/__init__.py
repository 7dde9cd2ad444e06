"""Machines: chips, links, clusters."""

from ridgeline.machine.chip import Chip, Cluster, Link
from ridgeline.machine.parse import parse_machine

__all__ = ["Chip", "Cluster", "Link", "parse_machine"]
