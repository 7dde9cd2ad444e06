"""Calibrated kernel times: a physical form, measured constants, a bounded learned correction."""
