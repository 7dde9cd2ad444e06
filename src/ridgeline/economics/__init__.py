"""What tokens, caches, fleets, racks and energy cost, and what a price gives away."""
