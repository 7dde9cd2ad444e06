"""Speed against the budgets of the design: `python -m benchmarks`."""
