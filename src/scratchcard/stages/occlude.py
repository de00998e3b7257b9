"""The stage ``occlude``: what a network answers when segments of test images are black.

One pass serves every metric that asks for it with the same options.
"""

from __future__ import annotations

from scratchcard.contracts import NEED_OPTIONS
from scratchcard.metrics.interpretability.occlusion import occlude
from scratchcard.stages.work import Outcome, Work


def occlude_images(work: Work) -> Outcome:
    """The packed answers."""
    options = {
        name: work.stage.params.get(name, option.default)
        for name, option in NEED_OPTIONS["occluded_logits"].items()
    }
    found = occlude(work.network("network"), work.images("test"), **options)
    return {"n": len(found.rows)}, {"occluded": found.pack()}
