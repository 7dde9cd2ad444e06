"""Training: step time, run plan, scaling laws, lifecycle and trends."""
