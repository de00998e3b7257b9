"""The conformance suite for methods finds what it should: each of these has one fault."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import Any, Literal

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


def register(
    target: type[Method],
    *,
    when: Literal["before", "during", "after"] = "before",
    needs_data: bool = False,
    document: bool = True,
) -> str:
    """Register as "toy", with the sections and options that the one-line docstring lacks."""
    if document and "Definition:" not in (target.__doc__ or ""):
        titles = ("Definition", "Formula", "Use", "Limits", "Source")
        sections = [f"{title}:\n    See above." for title in titles]
        options = [f"    {f.name}: Self-explanatory." for f in fields(target)]  # type: ignore[arg-type]
        target.__doc__ = "\n\n".join(
            [str(target.__doc__), *sections, "\n".join(["Options:", *options])]
        )
    method("toy", title="Toy", when=when, needs_data=needs_data)(target)
    return "toy"


def drawn(ctx: Context) -> dict[str, torch.Tensor]:
    return {n: torch.rand(m.shape, generator=ctx.generator) for n, m in ctx.masks.items()}


def weights(ctx: Context) -> dict[str, torch.Tensor]:
    return {name: ctx.model.get_parameter(name).detach() for name in ctx.masks}


@dataclass(frozen=True)
class Sound(Method):
    """A sound method that the tests spoil."""

    power: float = 1.0

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
        found = torch.autograd.grad(loss, [ctx.model.get_parameter(name) for name in ctx.masks])
        scores = dict(zip(ctx.masks, found, strict=True))
        return keep_largest(scores, ctx.masks, ctx.sparsity, "global")


@dataclass(frozen=True)
class Undocumented(Method):
    start = Sound.start
    meddle = Sound.meddle


@dataclass
class Thawed(Method):
    """Can be changed."""

    start = Sound.start
    meddle = Sound.meddle


class TestChoosing:
    class OffByOne(Sound):
        """Compares with the first score that it should keep."""

        def start(self, ctx: Context) -> Masks:
            scores = drawn(ctx)
            flat = torch.cat([scores[n][mask] for n, mask in ctx.masks.items()]).sort().values
            cut = len(flat) - ctx.masks.count_at(ctx.sparsity)
            return Masks({n: m & (scores[n] > flat[cut]) for n, m in ctx.masks.items()})

    class Inexact(Sound):
        """A coin for each weight."""

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
            return Masks({**super().start(ctx), "fc.bias": torch.ones(3).bool()})

    class Raw(Sound):
        """Gives a dictionary."""

        def start(self, ctx: Context) -> Any:
            return dict(super().start(ctx))

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

    @dataclass(frozen=True)
    class Individual(Sound):
        """Differs from object to object."""

        number: int = field(default_factory=count().__next__)

        def start(self, ctx: Context) -> Masks:
            stream = torch.Generator().manual_seed(self.number)
            return super().start(replace(ctx, generator=stream))

    class Tolerant(Sound):
        """Takes what is not a number for zero."""

        def start(self, ctx: Context) -> Masks:
            scores = {name: weight.nan_to_num().abs() for name, weight in weights(ctx).items()}
            return keep_largest(scores, ctx.masks, ctx.sparsity, "global")

    class Spending(Sound):
        """Cuts from the masks of the round before, in place."""

        def start(self, ctx: Context) -> Masks:
            chosen = super().start(ctx)
            for name, mask in ctx.masks.items():
                mask &= chosen[name]
            return chosen

    class Overshooting(Sound):
        """Never arrives."""

        def rounds(self, sparsity: float) -> tuple[float, ...]:
            return sparsity, sparsity / 2 + 0.5

    class Returning(Sound):
        """Its rounds go up and down."""

        def rounds(self, sparsity: float) -> tuple[float, ...]:
            return (0.97, sparsity)

    class Nowhere(Sound):
        """Visits nothing."""

        def ladder(self, sparsities: tuple[float, ...]) -> tuple[float, ...]:
            return sparsities if len(sparsities) == 1 else ()

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Undocumented, "no docstring"),
            (OffByOne, r"at sparsity 0: it keeps \d+ of \d+ weights, not \d+"),
            (Inexact, r"at sparsity 0\.5904: it keeps \d+ of \d+ weights, not \d+"),
            (Reviving, r"it revives \d+ weights"),
            (Overreaching, "not those of the prunable weights"),
            (Raw, "gives dict, not Masks"),
            (Global, "scoring changes torch's random numbers"),
            (Remembering, "the same seed gives other masks"),
            (Individual, "the same method made anew gives other masks"),
            (Tolerant, "it scores a weight that is not a number as if it were one"),
            (Spending, "scoring changes the masks it is given"),
            (Overshooting, r"the rounds for 0\.0 end at 0\.5"),
            (Returning, "its rounds do not rise"),
            (Nowhere, "its ladder is empty"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], message: str) -> None:
        with pytest.raises(AssertionError, match=message):
            check_method(register(target, document=target is not Undocumented))

    def test_sound_ones_pass(self) -> None:
        check_method(register(Sound))

    def test_one_that_looks_at_data_passes(self) -> None:
        check_method(register(Sensitive, needs_data=True))

    def test_a_method_that_hides_its_need_of_data_is_found(self) -> None:
        with pytest.raises(AssertionError):
            check_method(register(Sensitive, needs_data=False))


class TestMeddling:
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
                next(iter(model.parameters())).abs_()

    class Replacing(Sound):
        """Leaves other parameters, of the same values, which no optimiser knows."""

        def meddle(self, model: nn.Module) -> None:
            for layer in model.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight = nn.Parameter(layer.weight.detach().clone())

    class Backward(Sound):
        """Leaves gradients behind."""

        def meddle(self, model: nn.Module) -> None:
            torch.autograd.backward(next(iter(model.parameters())).sum())

    class Clearing(Sound):
        """Leaves no gradients."""

        def meddle(self, model: nn.Module) -> None:
            model.zero_grad()

    class Evaluating(Sound):
        """Leaves the mode changed."""

        def meddle(self, model: nn.Module) -> None:
            model.eval()

    class Freezing(Sound):
        """Leaves parameters frozen."""

        def meddle(self, model: nn.Module) -> None:
            model.requires_grad_(False)

    class Hooking(Sound):
        """Leaves a hook."""

        def meddle(self, model: nn.Module) -> None:
            model.register_forward_hook(lambda *_: None)

    @pytest.mark.parametrize(
        ("target", "what"),
        [
            (Forward, "parameters or buffers"),
            (Rescaling, "parameters or buffers"),
            (Replacing, "which parameters the network has"),
            (Backward, "gradients"),
            (Clearing, "gradients"),
            (Evaluating, "the mode"),
            (Freezing, "what needs gradients"),
            (Hooking, "hooks"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], what: str) -> None:
        with pytest.raises(AssertionError, match=f"scoring changes {what}"):
            check_method(register(target))


class TestDeclaring:
    class Timeless(Sound):
        """Scores at no known time."""

        @property
        def scored_at(self) -> str:
            return "later"

    class Late(Sound):
        """Scores a trained network."""

        @property
        def scored_at(self) -> str:
            return "end"

    class Spoiling(Sound):
        """Changes the study's recipe."""

        def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
            assert isinstance(training, dict)
            training["lr"] = 1e-3
            return training

    class Misspelling(Sound):
        """Makes no recipe."""

        def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
            return {**training, "learning_rate": 1e-3}

    def test_impossible_times_are_refused(self) -> None:
        with pytest.raises(UserError, match="step 'later' is not one of"):
            check_method(register(self.Timeless))

    @pytest.mark.parametrize(
        ("target", "when", "message"),
        [
            (Late, "before", 'before training, but scores the network of "end"'),
            (Sound, "after", "after training, but scores the network at its start"),
            (Thawed, "before", "its dataclass is not frozen"),
            (Spoiling, "before", r"recipe\(\) changes the recipe that it is given"),
            (Misspelling, "before", r"recipe\(\) makes no recipe: .*learning_rate"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], when: Any, message: str) -> None:
        with pytest.raises(AssertionError, match=r"(?s)" + message):
            check_method(register(target, when=when))

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("Use:\n    See above.\n\n", "", "its docstring lacks Use$"),
            ("Limits:\n    See above.", "Limits:", "its docstring lacks Limits$"),
            ("    power: Self", "    powre: Self", "Options leaves out power$"),
            ("Options:\n    power", "Note:\n    power", "Options leaves out power$"),
            ("    power: Self", "    more: Nothing.\n    power: Self", "what is none: more$"),
        ],
    )
    def test_docstrings_are_complete(self, old: str, new: str, message: str) -> None:
        @dataclass(frozen=True)
        class Documented(Sound):
            """Sound."""

        register(Documented)
        assert Documented.__doc__ is not None
        assert old in Documented.__doc__
        Documented.__doc__ = Documented.__doc__.replace(old, new)
        with pytest.raises(AssertionError, match=message):
            check_method(register(Documented))
