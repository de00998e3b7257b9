"""The reinitialised ticket: a method's mask without the weights it was found for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from scratchcard import models
from scratchcard.contracts import Context, UserError
from scratchcard.pruning.controls.control import Control
from scratchcard.registry import method


@method("reinitialised", title="Reinitialised", when="before", control=True)
@dataclass(frozen=True)
class Reinitialised(Control):
    """Reinitialised: another method's mask on weights that are drawn anew.

    Definition:
        The finished mask of another method is kept; the network is initialised a second time, by
        the architecture's own rule under another seed (biases and BatchNorm included), and
        trained from there, all of the schedule.

    Formula:
        w' = m * w0', w0' ~ the architecture's initial distribution, independent of w0.

    Use:
        Asks whether a mask needs the initial weights it was found for. Lottery tickets do at high
        sparsity; methods that prune before training mostly do not.

    Limits:
        It trains from initialisation even where the other method rewinds to a later step, so a
        gap to such a method is partly the early training that it skips. All tickets of one seed
        share the second initialisation.

    Source:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019; Liu et al., "Rethinking
        the Value of Network Pruning", ICLR 2019.

    Options:
        of: The label of the other method in the study.
    """

    of: str = field()

    @property
    def starts_from(self) -> str:
        """Initialisation, wherever the other method starts."""
        return "0ep"

    def begin(self, ctx: Context) -> None:
        """Initialise the network a second time.

        Raises:
            UserError: Nobody knows how the model is initialised.
        """
        if (own := ctx.architecture) is None:
            raise UserError(
                "reinitialised draws weights as the architecture does, but this model is not built "
                "from the registry: register it with @scratchcard.model, and name it in a study"
            )
        seed = int(torch.randint(2**62, (), generator=ctx.generator))
        fresh = models.build(own.kind, own.task, own.options, seed)
        ctx.model.load_state_dict(fresh.state_dict())
