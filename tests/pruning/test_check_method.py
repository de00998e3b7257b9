"""The conformance suite for methods finds what it should."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from scratchcard.contracts import Context, Method, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest
from scratchcard.registry import METHODS, method
from scratchcard.testing import check_method


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    METHODS.names()
    monkeypatch.setattr(METHODS, "_specs", dict(METHODS._specs))


def drawn(ctx: Context) -> dict[str, torch.Tensor]:
    return {n: torch.rand(m.shape, generator=ctx.generator) for n, m in ctx.masks.items()}


@dataclass(frozen=True)
class Sound(Method):
    """A sound method that the tests spoil."""

    def start(self, ctx: Context) -> Masks:
        self.meddle(ctx.model)
        return keep_largest(drawn(ctx), ctx.masks, ctx.sparsity, "global")

    def meddle(self, model: nn.Module) -> None:
        """Nothing, here."""


@dataclass(frozen=True)
class Sensitive(Sound):
    """Gradients of the loss on a batch, as they should be taken."""

    def start(self, ctx: Context) -> Masks:
        assert ctx.images is not None
        assert ctx.labels is not None
        loss = nn.functional.cross_entropy(ctx.model(ctx.images), ctx.labels)
        weights = [ctx.model.get_parameter(name) for name in ctx.masks]
        scores = dict(zip(ctx.masks, torch.autograd.grad(loss, weights), strict=True))
        return keep_largest(scores, ctx.masks, ctx.sparsity, "global")


@dataclass(frozen=True)
class Undocumented(Method):
    start = Sound.start
    meddle = Sound.meddle


class Inexact(Sound):
    """A threshold instead of a count."""

    def start(self, ctx: Context) -> Masks:
        scores = drawn(ctx)
        return Masks({n: (scores[n] >= ctx.sparsity) & m for n, m in ctx.masks.items()})


class Reviving(Sound):
    """Forgets what was cut before."""

    def start(self, ctx: Context) -> Masks:
        everything = Masks({n: torch.ones_like(m) for n, m in ctx.masks.items()})
        return keep_largest(drawn(ctx), everything, ctx.sparsity, "global")


class Overreaching(Sound):
    """Prunes biases, too."""

    def start(self, ctx: Context) -> Masks:
        return Masks({**super().start(ctx), "0.bias": torch.ones(4).bool()})


class Global(Sound):
    """Draws from torch's own generator."""

    def start(self, ctx: Context) -> Masks:
        scores = {n: torch.rand(m.shape) for n, m in ctx.masks.items()}
        return keep_largest(scores, ctx.masks, ctx.sparsity, "global")


@dataclass(frozen=True)
class Remembering(Sound):
    """Differs from call to call."""

    stream: torch.Generator = field(default_factory=torch.Generator)

    def start(self, ctx: Context) -> Masks:
        scores = {n: torch.rand(m.shape, generator=self.stream) for n, m in ctx.masks.items()}
        return keep_largest(scores, ctx.masks, ctx.sparsity, "global")


class Overshooting(Sound):
    """Never arrives."""

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        return sparsity, sparsity / 2 + 0.5


class Returning(Sound):
    """Its rounds go up and down."""

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        return (0.97, sparsity)


class Forward(Sound):
    """Leaves batch statistics changed."""

    def meddle(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
        model(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        for norm in norms:
            norm.eval()


class Rescaling(Sound):
    """Leaves weights changed."""

    def meddle(self, model: nn.Module) -> None:
        with torch.no_grad():
            model.get_parameter("0.weight").abs_()


class Backward(Sound):
    """Leaves gradients behind."""

    def meddle(self, model: nn.Module) -> None:
        torch.autograd.backward(model.get_parameter("0.weight").sum())


class Evaluating(Sound):
    """Leaves the mode changed."""

    def meddle(self, model: nn.Module) -> None:
        model.eval()


class Freezing(Sound):
    """Leaves parameters frozen."""

    def meddle(self, model: nn.Module) -> None:
        model.requires_grad_(False)


class Timeless(Sound):
    """Scores at no known time."""

    @property
    def scored_at(self) -> str:
        return "later"


def register(target: type[Method], *, needs_data: bool = False) -> str:
    method("toy", title="Toy", when="before", needs_data=needs_data)(target)
    return "toy"


def test_sound_ones_pass() -> None:
    check_method(register(Sound))


def test_one_that_looks_at_data_passes() -> None:
    check_method(register(Sensitive, needs_data=True))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Undocumented, "no docstring"),
        (Inexact, r"at sparsity 0\.\d+: it keeps \d+ of \d+ weights, not \d+"),
        (Reviving, r"it revives \d+ weights"),
        (Overreaching, "not those of the prunable weights"),
        (Global, "scoring changes torch's random numbers"),
        (Remembering, "the same seed gives other masks"),
        (Overshooting, "the rounds for 0.0 end at 0.5"),
        (Returning, "its rounds do not rise"),
        (Forward, "scoring changes parameters or buffers"),
        (Rescaling, "scoring changes parameters or buffers"),
        (Backward, "scoring changes gradients"),
        (Evaluating, "scoring changes the mode"),
        (Freezing, "scoring changes what needs gradients"),
    ],
)
def test_an_unsound_one_is_told_why(target: type[Method], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_method(register(target))


def test_impossible_times_are_refused() -> None:
    with pytest.raises(UserError, match="step 'later' is not one of"):
        check_method(register(Timeless))


def test_a_method_that_hides_its_need_of_data_is_found() -> None:
    with pytest.raises(AssertionError):
        check_method(register(Sensitive, needs_data=False))


def test_every_option_of_every_method_is_explained() -> None:
    for name in METHODS.names():
        spec = METHODS.get(name)
        assert all(f"{option}: " in spec.doc for option in spec.parameters), name
        for section in ("Definition:", "Formula:", "Use:", "Limits:", "Source:"):
            assert section in spec.doc, (name, section)
