"""Tests of the pruning methods."""
