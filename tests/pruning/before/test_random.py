"""Random pruning: exact counts, all weights equally likely, nothing but the seed matters."""

import numpy as np
import torch
from scipy import stats
from torch import nn

from scratchcard.masks import Masks
from scratchcard.pruning import prune
from scratchcard.pruning.before.random import Random
from scratchcard.pruning.choose import choose
from scratchcard.testing import check_method


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(40, 25, bias=False), nn.Linear(25, 40, bias=False))


def masks_of(seed: int, sparsity: float = 0.7) -> Masks:
    everything = Masks.ones(network())
    chosen = choose(Random(), model=network(), masks=everything, sparsity=sparsity, seed=seed)
    assert isinstance(chosen, Masks)
    return chosen


def test_layers_and_seeds_differ_and_weights_do_not_matter() -> None:
    first = masks_of(0)
    assert first == masks_of(0)  # on other weights
    one, two = (mask.flatten() for mask in first.values())
    other = masks_of(1)["0.weight"].flatten()
    for another in (two, other):  # chance agreement of 30 % densities is 58 %
        assert 0.5 < float((one == another).double().mean()) < 0.66


def test_every_weight_is_equally_likely() -> None:
    """Counts over 400 seeds are binomial."""
    drawn = [
        np.concatenate([mask.flatten().numpy() for mask in masks_of(seed).values()])
        for seed in range(400)
    ]
    counts = np.sum(drawn, axis=0)
    expected = 400 * 0.3
    assert np.mean(counts) == expected
    chi2 = float(((counts - expected) ** 2).sum() / (expected * 0.7))
    assert 0.001 < stats.chi2.sf(chi2, df=len(counts) - 1) < 0.999


def test_global_lets_layers_vary_and_uniform_does_not() -> None:
    assert len({masks_of(seed).layers()["0.weight"] for seed in range(5)}) > 1
    model = network()
    assert set(prune(model, "random", sparsity=0.7, allocation="uniform").layers().values()) == {
        300
    }


def test_a_sparser_mask_of_the_same_seed_is_nested() -> None:
    dense, sparse = masks_of(3, 0.5), masks_of(3, 0.9)
    assert all(not (sparse[name] & ~dense[name]).any() for name in dense)


def test_torchs_own_random_numbers_are_left_alone() -> None:
    model = network()
    before = torch.get_rng_state()
    prune(model, "random", sparsity=0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_conformance() -> None:
    check_method("random")
    check_method("random", allocation="uniform")
