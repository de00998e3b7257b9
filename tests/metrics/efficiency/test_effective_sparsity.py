"""Effective sparsity of networks whose useless weights are known."""

import pytest
import torch
from torch import nn

from scratchcard.contracts import NotApplicable
from scratchcard.masks import Masks
from scratchcard.metrics import measure

IMAGES = torch.rand(4, 1, 1, 4), torch.tensor([0, 1, 0, 1])


def chain() -> tuple[nn.Module, Masks]:
    """4 inputs, 3 hidden units: the second reads nothing, nobody reads the third."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    first = torch.ones(3, 4, dtype=torch.bool)
    first[1] = False
    second = torch.ones(2, 3, dtype=torch.bool)
    second[:, 2] = False
    masks = Masks({"1.weight": first, "3.weight": second})
    masks.apply_(model)
    return model, masks


def test_weights_without_a_path_count_as_cut() -> None:
    model, masks = chain()
    reading = measure(model, "effective-sparsity", IMAGES, masks=masks)
    # Of 18 weights 12 are kept: 4 of the third unit and 2 from the second are in vain.
    assert reading.parts["direct"].value == pytest.approx(1 - 12 / 18)
    assert reading.value == pytest.approx(1 - 6 / 18)
    assert reading.n == 18


def test_masks_are_found_in_the_weights() -> None:
    model, masks = chain()
    given = measure(model, "effective-sparsity", IMAGES, masks=masks)
    assert measure(model, "effective-sparsity", IMAGES).value == given.value


def test_where_paths_are_not_defined_it_says_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    with pytest.raises(NotApplicable, match="layer_norm"):
        measure(model, "effective-sparsity", IMAGES)
