"""The conformance suite finds what else methods do wrong: each of these has one fault."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Context, Method, Moment, Narrower
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.channels.after import TrainedChannels
from scratchcard.pruning.channels.during import EarlyChannels
from scratchcard.pruning.controls.control import Control
from scratchcard.pruning.controls.sign_flipped import SignFlipped
from scratchcard.pruning.controls.small_dense import SmallDense
from scratchcard.pruning.during.gmp import GradualMagnitude
from scratchcard.pruning.during.sparse_evolutionary import SparseEvolutionaryTraining
from scratchcard.registry import METHODS
from scratchcard.structure import Channels
from scratchcard.testing import check_method
from tests.pruning.test_check_method import drawn, register, weights


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    METHODS.names()
    monkeypatch.setattr(METHODS, "_specs", dict(METHODS._specs))


class TestSmaller:
    class Miscounting(SmallDense):
        """Small, but not as small as it says."""

        def start(self, ctx: Context) -> Narrower:
            found = super().start(ctx)
            return replace(found, left=found.left - 1)

    class Forgetful(SmallDense):
        """Leaves out an option that it does not change."""

        def start(self, ctx: Context) -> Narrower:
            found = super().start(ctx)
            return replace(found, options=dict(list(found.options.items())[:-1]))

    class Silent(SmallDense):
        """Only pretends to be smaller."""

        def start(self, ctx: Context) -> Any:
            return ctx.masks

    @dataclass(frozen=True)
    class Eager(TrainedChannels):
        """Cuts a channel that nobody asked it to."""

        def start(self, ctx: Context) -> Channels:
            return super().start(replace(ctx, sparsity=max(ctx.sparsity, 0.1)))

    @pytest.mark.parametrize(
        ("target", "when", "message"),
        [
            (Miscounting, "before", r"\d+ weights are left, not \d+"),
            (Forgetful, "before", "it gives other options"),
            (Silent, "before", "gives Masks, not Narrower"),
            (Eager, "after", r"at sparsity 0: it cuts \d+ weights"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], when: Any, message: str) -> None:
        target.__doc__ = f"{target.__doc__}"  # their parents' sections are not theirs
        with pytest.raises(AssertionError, match=message):
            check_method(register(target, when=when, needs_data=target is self.Eager))


class TestControls:
    class Own(Control):
        """Has a density of its own."""

        def start(self, ctx: Context) -> Masks:
            return keep_largest(drawn(ctx), ctx.masks, ctx.sparsity, "global")

    class Shuffling(Control):
        """Shuffles the other method's masks, and not a copy."""

        def start(self, ctx: Context) -> Masks:
            found = super().start(ctx)
            for mask in found.values():
                mask.copy_(mask.flip(0))
            return found

    class Renewing(Control):
        """Draws new parameters, which the optimiser does not know."""

        def begin(self, ctx: Context) -> None:
            for layer in ctx.model.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight = nn.Parameter(torch.zeros_like(layer.weight))

    class Careless(Control):
        """Draws weights by torch's own generator."""

        def begin(self, ctx: Context) -> None:
            for weight in weights(ctx).values():
                weight.normal_()

    class Unstable(Control):
        """Draws by a generator of the class's own."""

        stream = torch.Generator()

        def begin(self, ctx: Context) -> None:
            for weight in weights(ctx).values():
                weight.normal_(generator=self.stream)

    class Idle(Control):
        """Rebinds a name in place of writing."""

        def begin(self, ctx: Context) -> None:
            for weight in weights(ctx).values():
                weight = -weight

    class Dividing(Control):
        """Divides by the share of live weights of each row, of which there may be none."""

        def begin(self, ctx: Context) -> None:
            for name, weight in weights(ctx).items():
                weight.div_(torch.zeros_like(ctx.masks[name]))

    class Unmasking(SignFlipped):
        """Flips what is in the masks as well."""

        def begin(self, ctx: Context) -> None:
            super().begin(ctx)
            for mask in ctx.masks.values():
                mask.logical_not_()

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Own, r"it keeps \d+ of \d+ weights, not \d+"),
            (Shuffling, "scoring changes the other method's masks"),
            (Renewing, "beginning changes which parameters the network has"),
            (Careless, "beginning changes torch's random numbers"),
            (Unstable, "the same seed begins with other weights"),
            (Idle, r"begin\(\) changes nothing"),
            (Dividing, r"it begins with .*conv1\.weight.* that are not numbers"),
            (Unmasking, "beginning changes the masks it is given"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Control], message: str) -> None:
        @dataclass(frozen=True)
        class Spoilt(target):  # type: ignore[misc, valid-type]
            """Spoilt."""

            of: str = field()

        with pytest.raises(AssertionError, match=message):
            check_method(register(Spoilt), of="lth")


Growing = SparseEvolutionaryTraining


class TestUpdating:
    class Drifting(Growing):
        """Grows each free weight by a coin, right on average."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            if not self.due(moment):
                return None
            grown = {}
            for name, mask in ctx.masks.items():
                kept = mask & (torch.rand(mask.shape, generator=ctx.generator) < 0.7)
                chance = int((mask & ~kept).sum()) / max(int((~kept).sum()), 1)
                grown[name] = kept | (torch.rand(mask.shape, generator=ctx.generator) < chance)
            return Masks(grown)

    class Writing(Growing):
        """Sets the dropped weights to zero itself."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            answer = super().update(ctx, moment)
            for name, weight in weights(ctx).items():
                if answer is not None:
                    weight.masked_fill_(~answer[name], 0).mul_(1.001)
            return answer

    class Masking(Growing):
        """Masks the gradients itself."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            for name, mask in ctx.masks.items():
                gradient = ctx.model.get_parameter(name).grad
                assert gradient is not None
                gradient.masked_fill_(~mask, 0)
            return super().update(ctx, moment)

    class InPlace(Growing):
        """Changes the masks it is given."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            answer = super().update(ctx, moment)
            for name, mask in ctx.masks.items():
                if answer is not None:
                    mask.copy_(answer[name])
            return answer

    class Dicing(Growing):
        """Grows by torch's own generator."""

        def grow(self, ctx: Context, name: str) -> torch.Tensor:
            return torch.rand(ctx.masks[name].shape)

    @dataclass(frozen=True)
    class Counting(Growing):
        """Counts how often it was asked, which no checkpoint knows."""

        asked: list[int] = field(default_factory=list)

        def due(self, moment: Moment) -> bool:
            self.asked.append(moment.step)
            return len(self.asked) % 10 == 0

    class Narrowing(Growing):
        """Answers for a single layer."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            answer = super().update(ctx, moment)
            return answer and Masks(dict(list(answer.items())[:1]))

    class Hurried(GradualMagnitude):
        """Stops a step before its end."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            early = moment.step < moment.at("0.7")
            return super().update(ctx, moment) if early else None

    class Diving(GradualMagnitude):
        """Cuts too much, and gives it back."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            if moment.step == 1:
                return keep_largest(drawn(ctx), ctx.masks, 0.9, "global")
            everything = Masks({n: torch.ones_like(m) for n, m in ctx.masks.items()})
            return super().update(replace(ctx, masks=everything), moment)

    class Tolerant(GradualMagnitude):
        """Takes what is not a number for zero."""

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            if (sparsity := self.sparsity(moment, ctx.sparsity)) is None:
                return None
            scores = {name: weight.nan_to_num().abs() for name, weight in weights(ctx).items()}
            return keep_largest(scores, ctx.masks, sparsity, "global")

    class Trusting(Growing):
        """Grows by gradients, whatever they are."""

        def grow(self, ctx: Context, name: str) -> torch.Tensor:
            gradient = ctx.model.get_parameter(name).grad
            assert gradient is not None
            return gradient.abs().nan_to_num()

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Drifting, r"at step 8 of 48: it keeps \d+ weights, not \d+"),
            (Writing, "an update changes parameters or buffers"),
            (Masking, "an update changes gradients"),
            (InPlace, "an update changes the masks it is given"),
            (Dicing, "an update changes torch's random numbers"),
            (Counting, "at step 9 of 48: asked again, .* it answers otherwise"),
            (Narrowing, "not those of the prunable weights"),
            (Hurried, r"after a training of 48 steps it keeps \d+ weights, not \d+"),
            (Diving, r"at step 1 of 48: it keeps \d+ weights, not at least \d+"),
            (Tolerant, "it updates by weights that are not numbers"),
            (Trusting, "it updates by gradients that are not numbers"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], message: str) -> None:
        with pytest.raises(AssertionError, match=message):
            check_method(register(target, when="during"))


class TestWatching:
    class Wavering(EarlyChannels):
        """Has settled whenever the last two agree, and says when that was last."""

        def settled(self, chosen: Sequence[Channels]) -> int | None:
            return len(chosen) - 1 if chosen[-1:] == chosen[-2:-1] else None

    class Beyond(EarlyChannels):
        """Counts from one."""

        def settled(self, chosen: Sequence[Channels]) -> int | None:
            return len(chosen)

    class Consuming(EarlyChannels):
        """Eats up what it is given."""

        def settled(self, chosen: Sequence[Channels]) -> int | None:
            assert isinstance(chosen, list)
            chosen.clear()
            return None

    class Unordered(EarlyChannels):
        """Looks back."""

        @property
        def watches(self) -> tuple[str, ...]:
            return ("0.5", "0.25", "0.1", "0.4")

    class Elsewhere(EarlyChannels):
        """Starts from a step that it never saw."""

        @property
        def starts_from(self) -> str:
            return "end"

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Wavering, r"settled\(\) answers 1, and later 2"),
            (Beyond, r"settled\(\) answers 1 when 1 steps were seen"),
            (Consuming, r"settled\(\) changes what it is given"),
            (Unordered, "the steps it watches do not rise"),
            (Elsewhere, "starts_from is 'end', which it does not watch"),
        ],
    )
    def test_the_fault_is_named(self, target: type[Method], message: str) -> None:
        with pytest.raises(AssertionError, match=message):
            check_method(register(target, when="during", needs_data=True))
