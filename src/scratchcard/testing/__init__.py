"""Conformance suites for whatever is registered, ours and yours: run them in your own tests.

Each raises ``AssertionError`` with a sentence that says what is wrong.
"""

from scratchcard.testing.data import check_dataset
from scratchcard.testing.methods import check_method
from scratchcard.testing.metrics import check_metric
from scratchcard.testing.models import check_model

__all__ = ["check_dataset", "check_method", "check_metric", "check_model"]
