"""Measures real vector indexes and a real encoder on one thread of this machine."""
