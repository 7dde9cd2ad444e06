"""One function for each question a user asks: a scenario in, an Answer out."""
