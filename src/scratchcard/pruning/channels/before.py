"""Channel pruning at initialisation: the smaller network is all that is ever trained."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import UserError
from scratchcard.pruning.channels.after import ChannelPruning, Importance
from scratchcard.registry import method


@method("channels-init", title="Channel pruning at init", when="before", needs_data=True)
@dataclass(frozen=True)
class InitialChannels(ChannelPruning):
    """Channel pruning at initialisation: remove the least important channels before training.

    Definition:
        As ``channels``, on the network as it is initialised; what is left is trained from there.

    Formula:
        That of ``channels``; with ``taylor``, I(c) is made of |sum of w dL/dw| on one batch.

    Use:
        The cheapest small network: not one step is spent on the dense one. The control for it is
        ``small-dense``, which has as many weights and never saw a score.

    Limits:
        Weights that were drawn alike hardly differ in importance, so this finds widths of layers
        rather than channels.

    Source:
        Van Amersfoort et al., "Single Shot Structured Pruning Before Training", 2020; ``taylor``:
        Molchanov et al., CVPR 2019.

    Options:
        importance: ``"taylor"`` or ``"magnitude"``.
        least: How many channels of each group stay, whatever their importance.
    """

    importance: Importance = "taylor"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.importance == "bn-scale":
            raise UserError(
                'importance = "bn-scale" tells nothing at initialisation, where every scale of '
                'BatchNorm is 1; take "taylor" or "magnitude"'
            )
