"""The counter-based generator: known outputs, uniform, normal, independent in every direction."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from scipy import stats

from scratchcard.data.corruptions.draws import GOLDEN, Draws

MASK = 2**64 - 1


def split_mix(state: int) -> Iterator[int]:
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def draws(n: int, seed: int = 0, kind: str = "test") -> Draws:
    return Draws.of(kind, seed, torch.arange(n))


def test_published_outputs_of_splitmix64() -> None:
    # The outputs for the seed 1234567 that implementations are commonly checked with.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    published += [4593380528125082431, 16408922859458223821]
    words = Draws(torch.tensor([1234567])).words(5)[0]
    assert [int(word) & MASK for word in words] == published


@pytest.mark.parametrize("key", [0, -1, 2**62 + 12345, -(2**63)])
def test_words_are_those_of_whole_numbers(key: int) -> None:
    words = Draws(torch.tensor([key])).words(50)[0]
    assert [int(word) & MASK for word in words] == list(itertools.islice(split_mix(key), 50))


def test_parts_lie_far_apart_in_one_sequence() -> None:
    key = torch.tensor([99])
    ahead = key + torch.tensor(3 << 40) * GOLDEN
    assert torch.equal(Draws(key).words(10, part=3), Draws(ahead).words(10))


def test_uniform_numbers_are_uniform() -> None:
    u = draws(40).uniform(5, 1001)
    assert u.shape == (40, 5, 1001)
    assert u.dtype == torch.float32
    assert 0 <= float(u.min()) < 1e-4
    assert 1 - 1e-4 < float(u.max()) < 1
    counts = (u * 256).long().flatten().bincount(minlength=256)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    # Each of the 24 bits is fair.
    bits = (u.double() * 2**24).long()[..., None] >> torch.arange(24) & 1
    shares = bits.double().mean((0, 1, 2))
    assert float((shares - 0.5).abs().max()) < 5 * 0.5 / u.numel() ** 0.5


def test_normal_numbers_are_normal() -> None:
    z = draws(40).normal(5, 1001)
    assert z.shape == (40, 5, 1001)
    assert torch.isfinite(z).all()
    assert stats.kstest(z.flatten().double().numpy(), "norm").pvalue > 1e-3
    assert float((z**4).mean()) == pytest.approx(3, abs=5 * (96 / z.numel()) ** 0.5)


def test_extreme_words_give_finite_normal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in (0, -1):
        monkeypatch.setattr(Draws, "words", lambda self, n, part, w=word: torch.full((1, n), w))
        assert torch.isfinite(draws(1).normal(2)).all()
        assert 0 <= float(draws(1).uniform(2).max()) < 1


def test_integers_are_uniform_and_keep_to_their_range() -> None:
    found = draws(40).integers(-3, 3, 1001)
    assert found.dtype == torch.int64
    assert sorted(set(found.flatten().tolist())) == [-3, -2, -1, 0, 1, 2]
    assert stats.chisquare((found + 3).flatten().bincount().numpy()).pvalue > 1e-3


def largest_correlation(rows: torch.Tensor) -> float:
    table = torch.corrcoef(rows.double())
    return float((table - torch.eye(len(rows))).abs().max())


def test_images_are_independent() -> None:
    # 4,950 pairs of 20,000 numbers: five standard deviations of a correlation.
    bound = 5 / 20_000**0.5
    for numbers in (draws(100).uniform(20_000), draws(100).normal(20_000)):
        assert largest_correlation(numbers) < bound
    far = Draws.of("test", 0, torch.arange(100) * 1_000_003 + 2**40)
    assert largest_correlation(far.uniform(20_000)) < bound


def test_kinds_seeds_parts_and_neighbours_are_independent() -> None:
    n = 50_000
    rows = [draws(1, seed, kind).uniform(n)[0] for seed in (0, 1, 2) for kind in ("a", "b")]
    rows += [draws(1).uniform(n, part=part)[0] for part in (0, 1, 2)]
    long = draws(1, seed=3).uniform(2 * n)[0]
    rows += [long[shift : shift + n] for shift in (0, 1, 2, 3, 25_000)]
    assert largest_correlation(torch.stack(rows)) < 5 / n**0.5
    halves = draws(1).normal(n)[0].view(2, -1)  # the two of a Box-Muller pair, and their squares
    assert largest_correlation(torch.cat([halves, halves**2])) < 5 / (n / 2) ** 0.5


def test_one_bit_of_the_key_changes_half_of_the_bits() -> None:
    key = torch.tensor([123456789])
    flipped = key ^ (torch.ones(64, dtype=torch.int64) << torch.arange(64))
    changed = Draws(key).words(100) ^ Draws(flipped).words(100)
    bits = (changed[..., None] >> torch.arange(64) & 1).double().mean((1, 2))
    assert float((bits - 0.5).abs().max()) < 5 * 0.5 / 6400**0.5
