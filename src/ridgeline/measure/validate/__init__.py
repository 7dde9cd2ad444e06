"""Validation: predictions against measured tables."""
