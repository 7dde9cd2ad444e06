"""Test-time compute: samples, chains, search; what they cost and how often they succeed."""
