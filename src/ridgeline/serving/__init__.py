"""Serving: from step times to what users wait."""
