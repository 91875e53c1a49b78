"""Verdicts on a finished file."""

from .verdict import Check, Expected, verdict

__all__ = ["Check", "Expected", "verdict"]
