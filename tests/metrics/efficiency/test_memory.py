"""Memory: networks whose live tensors can be listed."""

import pytest
import torch
from torch import nn

from scratchcard.contracts import NotApplicable
from scratchcard.metrics import measure
from scratchcard.pruning.prune import prune, shrink
from scratchcard.registry import MODELS
from tests.metrics.efficiency.networks import Steps, data, small
from tests.shrinkable import IMAGES, LABELS, network

DATA = IMAGES, LABELS
IMAGE = 3 * 8 * 8 * 4


def activations(model: nn.Module) -> float:
    return measure(model, "memory", DATA).parts["activations"].value


def test_two_tensors_of_a_chain_are_alive() -> None:
    """The image, what a layer reads and what it writes; the widest pair counts."""
    assert activations(Steps(4, 10, 6)) == IMAGE + (10 + 6) * 256
    assert activations(Steps(20, 2, 2)) == IMAGE + (20 + 2) * 256


def test_what_a_shortcut_waits_for_is_alive() -> None:
    """Of a single layer the inputs and outputs, 10 + 6 channels, would be too few."""
    assert activations(Steps(4, 10, 6, keep=True)) == IMAGE + (4 + 10 + 6) * 256


def test_in_place_operations_and_views_take_nothing() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Flatten())
    saving = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Flatten())
    assert activations(saving) == IMAGE + 8 * 256
    assert activations(plain) == IMAGE + 2 * 8 * 256


def test_weights_and_buffers() -> None:
    shared = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), shared, nn.BatchNorm1d(4), shared)
    parts = measure(model, "memory", DATA).parts
    # float32, and a counter of 8 bytes; transposed weights are no activations.
    assert parts["weights"].value == 4 * (192 * 4 + 4 + 16 + 4 * 4) + 8
    assert parts["activations"].value == IMAGE + 2 * 4 * 4


@pytest.mark.parametrize("kind", MODELS.names())
def test_registered_networks_repeat_and_masks_change_nothing(kind: str) -> None:
    model, images = small(kind), data(kind)
    reading = measure(model, "memory", images)
    assert reading == measure(model, "memory", images)
    assert reading.value == sum(part.value for part in reading.parts.values())
    prune(model, "random", sparsity=0.5)
    assert measure(model, "memory", images) == reading


def test_removed_channels_shrink_both_parts() -> None:
    model = network("resnet B")
    before = measure(model, "memory", DATA).parts
    shrink(model, "channels", sparsity=0.7, data=[(IMAGES, LABELS)])
    after = measure(model, "memory", DATA).parts
    assert all(after[label].value < before[label].value for label in before)


def test_without_weights_there_is_nothing_to_say() -> None:
    with pytest.raises(NotApplicable, match="no parameters"):
        measure(nn.Flatten(), "memory", DATA)


def test_the_model_is_left_alone() -> None:
    model = network("lenet").train()
    hooks = torch.is_grad_enabled()
    measure(model, "memory", DATA)
    assert model.training
    assert torch.is_grad_enabled() == hooks
