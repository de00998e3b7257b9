"""Data sets, one kind a file, and what happens to their images before a network sees them.

Importing this package loads neither torch nor any decoder.
"""

from scratchcard.data.base import Dataset, OutOfDistribution
from scratchcard.data.files import fingerprint
from scratchcard.data.images import Images, Rows, Source, Splits

__all__ = ["Dataset", "Images", "OutOfDistribution", "Rows", "Source", "Splits", "fingerprint"]
