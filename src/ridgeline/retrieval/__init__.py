"""Retrieval around a model: index sizes, search work and time, encoders on a CPU, recall."""
