"""Whom a network's mistakes fall on: which classes, and which images that its twin had right."""
