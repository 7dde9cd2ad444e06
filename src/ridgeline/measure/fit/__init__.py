"""Fitting kernel constants: physical forms, learned corrections, intervals, error tables."""
