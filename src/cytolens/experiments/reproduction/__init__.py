"""Reproducing a paper: data that fit it, networks at hand, runs, and what they say together."""
