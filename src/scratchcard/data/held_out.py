"""The classes a network never saw, as its out-of-distribution set."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Images, OutOfDistribution, Splits
from scratchcard.registry import dataset


@dataset("held-out")
@dataclass(frozen=True, kw_only=True)
class HeldOut(OutOfDistribution):
    """Test images of the classes that were held out of the data set in use.

    A near out-of-distribution set: same camera, same processing, other objects. The data table
    must name the classes, as in ``held_out = [8, 9]``; labels are those of the source.

    Source: the open-set protocol of Neal et al., Open Set Learning with Counterfactual Images,
    ECCV 2018.
    Limits: the networks are trained on fewer classes, so their accuracies are not those of the
    full set; few classes make one arbitrary draw.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jpeg is not None:
            raise UserError(
                "held-out classes are re-encoded with the data set; move jpeg to its data table"
            )

    def foreign(self, task: Task, source: Splits) -> Images:
        """The held-out images of ``source``."""
        if source.held_out is None:
            raise UserError(
                "the data set has no held-out classes; add for example "
                f"held_out = [{task.classes - 1}] to its data table"
            )
        return source.held_out
