"""Images with masks of concepts, for network dissection."""

from scratchcard.data.concepts.base import Concepts
from scratchcard.data.concepts.own import own_concepts
from scratchcard.data.concepts.source import ConceptSource

__all__ = ["ConceptSource", "Concepts", "own_concepts"]
