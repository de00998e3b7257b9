"""Early channel pruning: train densely only until the structure that would be chosen settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scratchcard.contracts import Step, UserError
from scratchcard.pruning.channels.after import ChannelPruning
from scratchcard.registry import method
from scratchcard.structure import Channels


def similarity(one: Channels, other: Channels) -> float:
    """How alike two sub-networks of one network are in the widths of their layers, 0 to 1.

    One minus the mean of |n - m| / (n + m) over the layers that either of them narrows, which
    keep n and m channels. Which channels these are does not count.

    >>> shapes = {"0.weight": [6, 4]}
    >>> narrow, wide = (Channels({"0": {"out": range(n)}}, shapes) for n in (2, 3))
    >>> similarity(narrow, wide), similarity(narrow, narrow)
    (0.8, 1.0)
    """
    first, second = one.widths(), other.widths()
    dense = {name: shape[0] for name, shape in one.shapes.items()}
    narrowed = [name for name in dense if min(first[name], second[name]) < dense[name]]
    apart = [abs(first[n] - second[n]) / (first[n] + second[n]) for n in narrowed]
    return 1 - sum(apart) / len(apart) if apart else 1.0


@method("channels-early", title="Early channel pruning", when="during", needs_data=True)
@dataclass(frozen=True)
class EarlyChannels(ChannelPruning):
    """Early channel pruning: remove channels once the widths that would be chosen are stable.

    Definition:
        The dense network is trained, and watched: at each step of a fixed row it is asked which
        channels ``channels`` would keep. At the first step whose structure resembles those of the
        ``last`` steps before it by more than ``tau`` on average, or at the end of the row,
        the channels are removed; training goes on from there with the smaller network, its weights
        as they are and momentum empty.

    Formula:
        EPI(t) = mean over j = 1 .. last of Psi(N(t), N(t - j)) > tau, with
        Psi(N, M) = 1 - mean over layers of |n - m| / (n + m), n and m the channels kept.

    Use:
        Most of the accuracy of pruning after training for little more than the price of pruning
        before it: one training, part of it dense.

    Limits:
        Later weights are still better guides; widths may agree while channels do not, and
        narrow networks agree easily.

    Source:
        Shen et al., "When to Prune? A Policy towards Early Structural Pruning", CVPR 2022. There
        steps are epochs of ImageNet, and tau is 0.983 for magnitudes.

    Options:
        importance: ``"magnitude"``, ``"bn-scale"`` or ``"taylor"``.
        least: How many channels of each group stay, whatever their importance.
        tau: The similarity that is enough, 0 to 1; with 1 the last step of the row is taken.
        last: How many steps back a structure is compared.
        every: The distance of the steps, a fraction of training.
        until: The last of them, a fraction of training.
    """

    tau: float = 0.983
    last: int = 3
    every: float = 0.05
    until: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tau <= 1:
            raise UserError(f"tau = {self.tau} must lie between 0 and 1: a similarity")
        if not 0 < self.every <= self.until < 1:
            raise UserError(
                f"every = {self.every} and until = {self.until} must be fractions of training, "
                "such as 0.05 and 0.5"
            )
        if not 0 < self.last < len(self.watches):
            raise UserError(
                f"last = {self.last} must lie between 1 and {len(self.watches) - 1}, for there are "
                f"{len(self.watches)} steps to watch; change it, every or until"
            )

    @property
    def watches(self) -> tuple[str, ...]:
        """The steps at which the dense network is asked.

        >>> EarlyChannels(every=0.1, until=0.4, last=2).watches
        ('0.1', '0.2', '0.3', '0.4')
        """
        count = int(self.until / self.every + 1e-9)
        return tuple(str(Step(k * self.every, "fraction")) for k in range(1, count + 1))

    @property
    def scored_at(self) -> str:
        """The last of the steps, unless the structure settles before."""
        return self.watches[-1]

    @property
    def starts_from(self) -> str:
        """Training goes on from where the network was scored."""
        return self.watches[-1]

    def settled(self, chosen: Sequence[Channels]) -> int | None:
        """The first of the steps at which the structure has settled; None if it has not yet.

        Args:
            chosen: What would be kept at each of ``watches`` so far, in order.

        >>> narrow, wide = (
        ...     Channels({"0": {"out": range(n)}}, {"0.weight": [6, 4]}) for n in (2, 3)
        ... )
        >>> method = EarlyChannels(last=2, tau=0.9)
        >>> method.settled([wide, narrow, narrow]), method.settled([wide, narrow, narrow, narrow])
        (None, 3)
        """
        for now in range(self.last, len(chosen)):
            before = chosen[now - self.last : now]
            if sum(similarity(chosen[now], then) for then in before) / self.last > self.tau:
                return now
        return None
