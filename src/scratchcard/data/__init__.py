"""Data sets, one kind a file, and what happens to their images before a network sees them.

Importing this package loads neither torch nor any decoder.
"""

from scratchcard.data.base import (
    Dataset,
    Images,
    OutOfDistribution,
    Rows,
    Source,
    Splits,
)
from scratchcard.data.files import fingerprint

__all__ = ["Dataset", "Images", "OutOfDistribution", "Rows", "Source", "Splits", "fingerprint"]
