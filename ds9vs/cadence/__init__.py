"""Cadence: what every field of the tape is."""
