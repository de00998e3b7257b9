"""Pruning methods, one a file: a score, an allocation of the budget to layers, and a schedule.

``prune`` and ``shrink`` are the ways in from Python; studies reach the same methods by name.
"""

from scratchcard.pruning.prune import prune, shrink
from scratchcard.pruning.scored import Scored

__all__ = ["Scored", "prune", "shrink"]
