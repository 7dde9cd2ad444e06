"""Ridgeline: what is possible, what is the limit, what does it cost, and why."""

__version__ = "0.1.0"
