"""Measuring: truth tables, validation against them, calibration from them."""
