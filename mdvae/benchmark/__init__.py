"""Timing of the real programs."""
