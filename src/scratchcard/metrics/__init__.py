"""Metrics, one a file, and what calls them: ``measure`` for people, ``call`` for a study.

A new metric is one function below a dimension's folder; nothing else needs to know of it.
"""

from scratchcard.metrics.inputs import as_images
from scratchcard.metrics.measure import call, measure, options

__all__ = ["as_images", "call", "measure", "options"]
