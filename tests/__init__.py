"""Tests; a package, so that they can share the factory."""
