"""Structured pruning: whole channels go, and the network really shrinks."""
