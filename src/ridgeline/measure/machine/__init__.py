"""What this machine really does: ceilings measured where it runs."""
