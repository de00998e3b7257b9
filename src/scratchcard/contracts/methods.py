"""What a pruning method is: the protocol, and what it is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from scratchcard.contracts.values import Step, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from scratchcard.masks import Masks
    from scratchcard.structure import Channels


@dataclass(frozen=True)
class Architecture:
    """A registered model as a study builds it: its name, what it must fit, and every option."""

    kind: str
    task: Task
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a method sees when it chooses a mask.

    Attributes:
        model: The network to score, a private copy; leave its parameters as they are.
        masks: What earlier rounds kept (everything, at first); a weight once cut stays cut.
        sparsity: The share of all prunable weights that shall be zero now.
        generator: The method's own stream of random numbers, on the CPU.
        images: A class-balanced, un-augmented batch in [0, 1], [B, C, H, W]; or None.
        labels: Its labels [B]; or None.
        other: The finished mask of the method that ``Method.of`` names; or None.
        architecture: Where the model comes from; None if it is the user's own.
    """

    model: nn.Module
    masks: Masks
    sparsity: float
    generator: torch.Generator
    images: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    other: Masks | None = None
    architecture: Architecture | None = None


@dataclass(frozen=True)
class Narrower:
    """Another width of the same architecture: what ``small-dense`` gives in place of masks.

    Attributes:
        options: Every option of the model.
        left: How many prunable weights it has.
        total: How many the network has that it stands for.
    """

    options: Mapping[str, Any]
    left: int
    total: int


@dataclass(frozen=True)
class Moment:
    """A step of a training that is under way.

    Attributes:
        step: SGD steps done, counted from the start of the recipe.
        per_epoch: Steps an epoch.
        total: Steps of the whole recipe.

    >>> Moment(step=10, per_epoch=50, total=200).at("0.75")
    150
    """

    step: int
    per_epoch: int
    total: int

    def at(self, step: str) -> int:
        """``"3ep"``, ``"500it"`` or ``"0.75"`` as a count of SGD steps."""
        return Step.parse(step).iterations(per_epoch=self.per_epoch, total=self.total)


class Method(ABC):
    """A pruning method; a frozen dataclass whose fields are its options.

    The defaults describe one-shot pruning at initialisation; override what differs.
    """

    gives: ClassVar[Literal["masks", "channels", "narrower"]] = "masks"
    """What ``start`` gives: masks, a shrunk network, or another width of the same architecture."""

    replaces_step: ClassVar[bool] = True
    """Whether an update of the masks takes the place of the SGD step."""

    def ladder(self, sparsities: tuple[float, ...]) -> tuple[float, ...]:
        """The sparsities that the method visits: the study's, unless it has one of its own."""
        return sparsities

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        """The sparsities visited on the way, the last being ``sparsity`` itself."""
        return (sparsity,)

    @property
    def scored_at(self) -> str:
        """The step at which a network is scored: the dense one first, then the previous round's."""
        return "0ep"

    @property
    def starts_from(self) -> str:
        """Where in schedule and data order a ticket's training begins; "": where that of ``of``."""
        return "0ep"

    @property
    def weights(self) -> Literal["rewound", "trained"]:
        """Whether a ticket takes the dense weights of ``starts_from``, or those just scored."""
        return "rewound"

    @property
    def watches(self) -> tuple[str, ...]:
        """Steps of dense training of which one is chosen to prune at; see ``settled``."""
        return ()

    def settled(self, chosen: Sequence[Any]) -> int | None:
        """Which watched step to prune at, given what would be kept at each so far; None: wait."""
        raise NotImplementedError

    @property
    def times(self) -> tuple[str, ...]:
        """Other steps among the options, which must not lie beyond the end of training."""
        return ()

    @property
    def of(self) -> str | None:
        """The method of the study whose finished mask is wanted as ``Context.other``."""
        return None

    def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
        """The recipe of a ticket's training, made of the study's."""
        return training

    def keeps(self, masks: Masks, sparsity: float) -> int:
        """How many weights ``start`` keeps: ``N - round(s N)``, unless it says otherwise."""
        return masks.count_at(sparsity)

    @abstractmethod
    def start(self, ctx: Context) -> Masks | Channels | Narrower:
        """What training starts with: masks with exactly ``keeps`` weights, or a smaller network."""

    def begin(self, ctx: Context) -> None:
        """Change the weights a ticket starts from, ``ctx.model``, in place."""
        raise NotImplementedError

    def update(self, ctx: Context, moment: Moment) -> Masks | None:
        """New masks, or None; asked at every step, with dense gradients in ``p.grad``.

        ``ctx.model`` is the network in training, ``ctx.masks`` what it keeps now, and
        ``ctx.generator`` depends on the seed and the step alone, so that a run may be resumed.
        """
        raise NotImplementedError

    def does(self, hook: Literal["begin", "update"]) -> bool:
        """Whether the method overrides ``begin`` or ``update``."""
        return getattr(type(self), hook) is not getattr(Method, hook)
