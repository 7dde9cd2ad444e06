"""Search: every valid deployment evaluated as arrays, the frontier, the best."""
