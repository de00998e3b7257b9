"""The largest noise that a network bears: a search for where its loss has risen by a share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.metrics.landscape.walking import losses
from scratchcard.probe import Predictions
from scratchcard.stats import mean_reading, statistic_reading

Noisy = Callable[[float, int], np.ndarray]
"""From sigma and the number of a draw to the loss of each image [N]."""

NO_LOSS = 1e-6
"""At a clean loss below this, a tenth more is decided by the float32 rounding of a few images."""
NARROW = 0.01
"""The search ends where its ends are so near, as a share of sigma; a line does the rest."""
HALVINGS = 40
"""And at the latest after so many: sigma is then below 1e-11."""
OVERFLOWN = 1e30
"""What noise that drives logits out of float32 counts as: finite, so that no inf - inf arises."""


def noisy_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each image [N] from logits [N, K] that may not be finite."""
    if not np.isfinite(logits).all():
        return np.full(len(labels), OVERFLOWN)
    return losses(Predictions(logits, labels))


@dataclass(frozen=True)
class Search:
    """What is sought, and how.

    Attributes:
        draws: Draws of noise, the same for every sigma, network and run: two or more.
        factor: The mean loss may be so many times the clean one.
        upper: No sigma above this is tried.
    """

    draws: int
    factor: float
    upper: float

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise UserError(f"draws = {self.draws}, but an error bar needs 2 or more")
        if not 1 < self.factor < math.inf:
            raise UserError(f"factor = {self.factor}, but must be above 1, such as 1.1")
        if not 0 < self.upper < math.inf:
            raise UserError(f"upper = {self.upper}, but must be the largest sigma, above 0")

    def reading(self, noisy: Noisy, clean: np.ndarray) -> Reading:
        """The largest sigma at which the mean over draws and images is within the limit.

        By bisection, which finds one crossing if there are several, and a straight line between
        its last two points. The error is that of images and draws together: both are resampled,
        what they have in common alone left out, and sigma follows by its derivative with respect
        to the loss.

        Args:
            noisy: Gives losses.
            clean: Loss of each image without noise [N].

        Raises:
            NotApplicable: There is no clean loss to speak of.
        """
        rest = mean_reading(clean)
        parts = {"loss": Part(rest.value, rest.stderr, rest.n)}
        if rest.value < NO_LOSS:
            raise NotApplicable(
                f"because the training loss is {rest.value:.1g}: a multiple of nothing is nothing"
            )
        limit = self.factor * rest.value
        if self._within(noisy, self.upper, limit):
            found = statistic_reading(lambda index: self.upper, [len(clean), self.draws])
            # The 0 of its error is no certainty: what lies beyond was not tried.
            parts |= {"censored": Part(1.0, 0.0, rest.n)}
            return replace(found, n=len(clean), parts=parts)
        low, high = 0.0, self.upper
        for _ in range(HALVINGS):
            if high - low <= NARROW * high:
                break
            middle = (low + high) / 2
            low, high = (middle, high) if self._within(noisy, middle, limit) else (low, middle)
        ends = [np.stack([noisy(s, k) for k in range(self.draws)]) for s in (low, high)]
        return self._between(low, high, ends, clean, parts)

    def _within(self, noisy: Noisy, sigma: float, limit: float) -> bool:
        """Whether the mean loss is within the limit; no loss is negative, so few draws may do."""
        total = 0.0
        for draw in range(self.draws):
            total += float(noisy(sigma, draw).mean())
            if total > limit * self.draws:
                return False
        return True

    def _between(
        self,
        low: float,
        high: float,
        ends: list[np.ndarray],
        clean: np.ndarray,
        parts: dict[str, Part],
    ) -> Reading:
        """Where a straight line crosses the limit, with its error.

        Args:
            low: A sigma that is borne.
            high: One that is not.
            ends: Losses at both [K, N].
            clean: Losses without noise [N].
            parts: Of the reading.
        """
        below, above = ends
        slope = (above.mean() - below.mean()) / (high - low)
        share = (self.factor * clean.mean() - below.mean()) / (above.mean() - below.mean())
        sigma = low + float(share) * (high - low)
        # Loss above the limit at sigma, of mean 0: what is drawn more often moves sigma by it.
        excess = ((1 - share) * below + share * above - self.factor * clean) / slope
        by_draw, by_image = mean_reading(excess.mean(axis=1)), excess.mean(axis=0)
        # Resampling K things underestimates the variance by (K - 1)/K.
        own = excess.mean(axis=1) * math.sqrt(self.draws / (self.draws - 1))
        n = len(clean)

        def statistic(index: np.ndarray) -> float:
            images = np.bincount(index[:n], minlength=n) / n
            draws = np.bincount(index[n:] - n, minlength=self.draws) / self.draws
            return sigma - float(draws @ own + by_image @ images)

        parts = {**parts, "over draws": Part(sigma, by_draw.stderr, self.draws)}
        return replace(statistic_reading(statistic, [n, self.draws]), n=n, parts=parts)
