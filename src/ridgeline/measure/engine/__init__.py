"""A real engine under load, and what others measured of theirs."""
