"""Shots: what kind of shot (label) and which gets what (treat)."""
