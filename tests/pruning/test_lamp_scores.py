"""LAMP scores against their definition, quadratic and in fractions."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest, lamp


def all_of(*sizes: int) -> Masks:
    return Masks({f"l{i}": torch.ones(size, dtype=torch.bool) for i, size in enumerate(sizes)})


def lamp_by_definition(values: list[float]) -> list[Fraction]:
    """Quadratic in the number of weights, and exact."""
    return [
        Fraction(u) ** 2 / sum(Fraction(v) ** 2 for v in values if abs(v) >= abs(u)) for u in values
    ]


distinct = st.lists(st.integers(1, 200), min_size=1, max_size=20, unique=True)


@given(st.lists(distinct, min_size=1, max_size=4), st.floats(0, 1), st.integers(0, 2**32))
def test_lamp_is_its_definition(values: list[list[int]], sparsity: float, seed: int) -> None:
    """Scored by the quadratic definition among the live, and sorted one by one."""
    stream = torch.Generator().manual_seed(seed)
    scores = {f"l{i}": torch.tensor(layer).float() for i, layer in enumerate(values)}
    masks = Masks({n: torch.rand(len(s), generator=stream) < 0.7 for n, s in scores.items()})
    sparsity = max(sparsity, masks.sparsity)
    if masks.count_at(sparsity) > masks.kept:
        return
    live = []
    for layer, (name, mask) in enumerate(masks.items()):
        places = mask.nonzero().flatten().tolist()
        shares = lamp_by_definition([float(scores[name][i]) for i in places])
        live += [(-share, layer, i, name) for share, i in zip(shares, places, strict=True)]
    expected = {(name, i) for *_, i, name in sorted(live)[: masks.count_at(sparsity)]}
    chosen = keep_largest(scores, masks, sparsity, "lamp")
    found = {(n, i) for n, mask in chosen.items() for i in mask.nonzero().flatten().tolist()}
    assert found == expected


@given(distinct)
def test_lamp_scores_of_a_layer(values: list[int]) -> None:
    expected = sorted(lamp_by_definition([float(v) for v in values]), reverse=True)
    assert lamp(torch.tensor(values)).tolist() == pytest.approx([float(s) for s in expected])


@pytest.mark.parametrize(
    "layer",
    [torch.rand(100), torch.full((100,), 0.3), torch.zeros(100), torch.rand(100) * 1e-44,
     torch.rand(100, dtype=torch.float64) * 1e300, torch.full((100,), 1e-310, dtype=torch.float64)],
    ids=["random", "constant", "zero", "tiny", "huge", "subnormal"],
)  # fmt: skip
def test_the_first_lamp_score_is_one_and_the_only_one(layer: torch.Tensor) -> None:
    """So no layer runs empty, and none counts as more than one at the top."""
    shares = lamp(layer)
    assert shares[0] == 1.0
    assert ((shares[1:] >= 0) & (shares[1:] < 1)).all()
    assert (shares.diff() <= 0).all()


def test_no_layer_runs_empty_under_lamp() -> None:
    """Layers on scales from 1 to 1e-20, one of them zero; global would leave the first alone."""
    stream = torch.Generator().manual_seed(0)
    scores = {f"l{i}": torch.rand(1_000, generator=stream) * 10.0 ** (-4 * i) for i in range(5)}
    scores["l5"] = torch.zeros(1_000)
    masks = all_of(*[1_000] * 6)
    assert not keep_largest(scores, masks, 1 - 6 / 6_000, "lamp").collapsed
    assert len(keep_largest(scores, masks, 1 - 6 / 6_000, "global").collapsed) == 5


def test_equal_weights_share_by_their_order() -> None:
    """The k-th of equal weights scores 1 / k."""
    assert lamp(torch.full((50,), 0.1)).tolist() == pytest.approx([1 / k for k in range(1, 51)])


def test_lamp_sums_in_float64() -> None:
    """One weight of 1 and a million of 1e-4: the k-th scores 1e-8 / (1 + k 1e-8)."""
    scores = torch.full((1_000_001,), 1e-4, dtype=torch.float64)
    scores[-1] = 1.0
    last = 1e-8 / 1.01
    assert float(lamp(scores)[-1]) == pytest.approx(last, rel=1e-9)
    squares = scores.float().square().sort(descending=True).values
    short = 1.0
    for square in squares[1:1_000].tolist():
        short = float(torch.tensor(short) + torch.tensor(square))
    assert short == 1.0, "float32 loses every one of them"


def test_lamp_refuses_signed_scores() -> None:
    scores = {"l0": torch.tensor([1.0, -2.0, 3.0, -4.0])}
    with pytest.raises(UserError, match="made for magnitudes, but 2 scores are negative"):
        keep_largest(scores, all_of(4), 0.5, "lamp")


def test_lamp_keeps_the_largest_of_each_layer() -> None:
    """Whatever their shapes and scales."""
    stream = torch.Generator().manual_seed(0)
    scores = {f"l{n}": torch.rand(n, n, 3, 3, generator=stream) * n for n in (4, 16, 64)}
    masks = Masks(
        {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    )
    chosen = keep_largest(scores, masks, 0.9, "lamp")
    assert chosen.kept == masks.count_at(0.9)
    for name, mask in chosen.items():
        assert scores[name][mask].min() > scores[name][~mask].max()
