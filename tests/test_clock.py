"""Steps and learning rates against formulas, and against torch's schedulers where they agree."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.study import Training
from scratchcard.training import Clock


class TestClock:
    def clock(self, **recipe: Any) -> Clock:
        return Clock(Training(epochs=10, batch_size=8, lr=0.4, **recipe), images=50)

    def rates(self, **recipe: Any) -> list[float]:
        clock = self.clock(**recipe)
        return [clock.learning_rate(step) for step in range(60)]

    def torchs(self, scheduler: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
        schedule = scheduler(optimizer)
        rates = []
        for _ in range(60):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    @pytest.mark.parametrize(
        ("step", "count"),
        [
            ("0ep", 0),
            ("3ep", 18),
            ("0.5ep", 3),
            ("7it", 7),
            ("0.25", 15),
            ("10ep", 60),
            ("end", 60),
        ],
    )
    def test_steps(self, step: str, count: int) -> None:
        assert (self.clock().per_epoch, self.clock().total) == (6, 60)
        assert self.clock().at(step) == count

    @pytest.mark.parametrize("step", ["61it", "11ep"])
    def test_a_step_beyond_the_end_is_refused(self, step: str) -> None:
        with pytest.raises(
            UserError, match=f"step '{step}' is 6. iterations, .* ends after 60; take"
        ):
            self.clock().at(step)

    def test_constant(self) -> None:
        assert self.rates(schedule="constant") == [0.4] * 60

    def test_steps_down(self) -> None:
        rates = self.rates(schedule="step", milestones=("0.5", "50it"), gamma=0.2)
        assert rates == pytest.approx([0.4] * 30 + [0.08] * 20 + [0.016] * 10)
        assert rates == pytest.approx(
            self.torchs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [30, 50], gamma=0.2))
        )

    def test_cosine(self) -> None:
        rates = self.rates(schedule="cosine")
        assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * t / 60)) for t in range(60)])
        assert rates == pytest.approx(
            self.torchs(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=60))
        )

    @pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
    def test_warmup_rises_to_the_highest_rate(self, schedule: str) -> None:
        rates = self.rates(schedule=schedule, warmup="2ep")
        assert rates[:12] == pytest.approx([0.4 * k / 12 for k in range(1, 13)])
        after = {
            "constant": [0.4] * 48,
            "step": [0.4] * 18 + [0.04] * 15 + [0.004] * 15,
            "cosine": [0.2 * (1 + math.cos(math.pi * t / 48)) for t in range(48)],
        }
        assert rates[12:] == pytest.approx(after[schedule])

    def test_one_cycle(self) -> None:
        rates = self.rates(schedule="one-cycle")
        up = [0.4 * (1 / 25 + 24 / 25 * t / 18) for t in range(18)]
        down = [0.2 * (1 + math.cos(math.pi * t / 42)) for t in range(42)]
        assert rates == pytest.approx(up + down)
        assert max(rates) == rates[18] == 0.4

    def test_a_warmup_longer_than_training_is_refused(self) -> None:
        with pytest.raises(UserError, match="step '100it' is 100 iterations"):
            self.rates(warmup="100it")
