"""A dense network that is trained for as long as a lottery ticket takes to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchcard.contracts import Context, Method, Step, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.after.lth import LotteryTicket
from scratchcard.registry import method


@method("long-dense", title="Long dense", when="before", control=True)
@dataclass(frozen=True)
class LongDense(Method):
    """Long dense: nothing is cut, but training lasts as long as the whole lottery.

    Definition:
        The dense network, trained once from initialisation for as many epochs as lottery tickets
        of this sparsity spend on all their trainings. It is one schedule, stretched: milestones
        and warm-up that are written in epochs or iterations move along.

    Formula:
        epochs = (n + 1) E - n k, where n is the number of rounds that cut the share ``rate``, E
        the recipe's epochs, and k the epochs that rewinding saves.

    Use:
        Asks whether a ticket beats its twin because it is sparse, or because its weights and mask
        have seen n + 1 trainings.

    Limits:
        No network of the wanted sparsity: it keeps all weights, at every rung. With
        ``equal_budget`` it is the dense twin again.

    Source:
        The control asked for by Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019
        (their Scratch-B), with the cost of Frankle and Carbin, ICLR 2019.

    Options:
        rate: The share of the remaining weights that a round of the lottery cuts.
        rewind: The step that the lottery rewinds to: "0ep", "3ep" or "0.02".
    """

    rate: float = 0.2
    rewind: str = "0ep"

    def __post_init__(self) -> None:
        rewind = Step.parse(self.rewind)
        LotteryTicket(rate=self.rate)  # which refuses a wrong rate
        if rewind.unit == "it" and rewind.value:
            raise UserError(
                f'rewind = "{self.rewind}" cannot be counted in epochs: write "1ep", or a fraction '
                'of training such as "0.05"'
            )

    def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
        """The epochs of all trainings together, and the schedule stretched to them."""
        rounds = len(LotteryTicket(rate=self.rate).rounds(sparsity))
        rewind = Step.parse(self.rewind)
        saved = rewind.value * (training["epochs"] if rewind.unit == "fraction" else 1)
        if saved > training["epochs"]:
            raise UserError(
                f'rewind = "{self.rewind}" lies beyond the end of training, which has '
                f"{training['epochs']} epochs"
            )
        epochs = round((rounds + 1) * training["epochs"] - rounds * saved, 9)
        factor = epochs / training["epochs"]
        stretched = {**training, "epochs": int(epochs) if epochs == int(epochs) else epochs}
        if "milestones" in training:
            stretched["milestones"] = [_later(step, factor) for step in training["milestones"]]
        if "warmup" in training:
            stretched["warmup"] = _later(training["warmup"], factor)
        return stretched

    def keeps(self, masks: Masks, sparsity: float) -> int:
        """All weights."""
        return masks.total

    def start(self, ctx: Context) -> Masks:
        """Masks that keep everything."""
        return ctx.masks


def _later(step: str, factor: float) -> str:
    """A step of a schedule that is stretched by ``factor``; fractions move by themselves.

    >>> _later("3ep", 2.5), _later("500it", 1.0005), _later("0.5", 2.5)
    ('7.5ep', '500it', '0.5')
    """
    moment = Step.parse(step)
    if moment.unit == "fraction":
        return step
    value = moment.value * factor
    return str(Step(round(value) if moment.unit == "it" else value, moment.unit))
