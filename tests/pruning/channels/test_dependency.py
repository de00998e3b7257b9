"""Which channels can go: known networks, and operations that tracing gets wrong."""

import copy
import sys

import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.channels.dependency import Group, Trial, _traced, coupled
from scratchcard.structure import Channels
from tests.shrinkable import CASES, IMAGES, network


def found(case: str) -> tuple[Trial, list[Group]]:
    model = network(case)
    trial = Trial.of(model, IMAGES.shape)
    return trial, coupled(trial, set(Masks.ones(model)))


@pytest.mark.parametrize("case", CASES)
def test_only_what_can_go_is_found(case: str) -> None:
    _, groups = found(case)
    assert [str(group) for group in groups] == sorted(
        CASES[case][1], key=[name for name, _ in network(case).named_modules()].index
    )


@pytest.mark.parametrize("case", CASES)
def test_single_channels_of_them_can_go(case: str) -> None:
    """The dense network, its readers blinded, is computed here from the layers' own weights."""
    trial, groups = found(case)
    for group in groups:
        for channel in (0, 1, group.size - 1):
            kept = trial.kept([group], [{channel}])
            shrunk, blind = (copy.deepcopy(trial.network) for _ in range(2))
            Channels(kept, {}).apply_(shrunk)
            for (layer, side), indices in group.places.items():
                if side == "in":
                    with torch.no_grad():
                        blind.get_parameter(f"{layer}.weight")[:, list(indices[channel])] = 0
            torch.testing.assert_close(shrunk(trial.images), blind(trial.images))


def test_members_of_a_group() -> None:
    _, groups = found("vgg")
    assert set(groups[0].places) == {("0", "out"), ("1", "out"), ("4", "in")}
    # Flattening 2 x 2 pixels turns each channel into four features.
    assert groups[1].places["9", "in"] == tuple(tuple(range(4 * c, 4 * c + 4)) for c in range(8))
    _, groups = found("depth-wise")
    assert set(groups[0].places) == {("0", "out"), ("1", "out"), ("3", "out"), ("4", "out")} | {
        ("6", "in")
    }
    _, groups = found("concatenation")
    assert groups[0].places["norm", "out"] == tuple((c,) for c in range(3))
    assert groups[1].places["norm", "out"] == tuple((3 + c,) for c in range(5))
    _, groups = found("twice")
    assert groups[0].places["second", "in"] == tuple((c, 8 + c) for c in range(8))


@pytest.mark.parametrize("case", ["resnet A", "padding", "flip", "softmax", "images beside"])
def test_tracing_alone_is_wrong(case: str) -> None:
    """What the trial rejects has the right shapes when it is shrunk, and runs; it answers wrongly.

    In ResNets of shortcut A the padding shifts channels, which Torch-Pruning does not see.
    """
    trial, groups = found(case)
    names = {"fc", *map(str, groups)}
    (wrong,) = (group for group in _traced(trial) if str(group) not in names)
    if case == "resnet A":
        assert len(wrong.places) == 12
    else:
        shrunk = copy.deepcopy(trial.network)
        Channels(trial.kept([wrong], [{0, 2}]), {}).apply_(shrunk)
        assert shrunk(trial.images).shape == (4, 4)
    assert not trial.agrees([wrong], [{0, 2}])


def test_the_trial_does_not_depend_on_what_was_learnt() -> None:
    """On a network of zeros everything agrees, so a trial on its own weights would be blind."""
    model = network("flip")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    trial = Trial.of(model, IMAGES.shape)
    wrong = [group for group in _traced(trial) if str(group) == "first"]
    assert Trial(model, trial.images).agrees(wrong, [{0}])
    assert not trial.agrees(wrong, [{0}])
    assert [str(group) for group in coupled(trial, set(Masks.ones(model)))] == ["second"]


def test_layers_that_are_not_prunable_keep_their_channels() -> None:
    model = network("lenet")
    trial = Trial.of(model, IMAGES.shape)
    groups = coupled(trial, set(Masks.ones(model, ("conv",))))
    assert [str(group) for group in groups] == ["conv1", "conv2"]


def test_the_network_stays_as_it_is() -> None:
    model = network("vgg").train()
    model.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    with torch.no_grad():
        coupled(Trial.of(model, IMAGES.shape), set(Masks.ones(model)))
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in state)
    assert all(module.training for module in model.modules())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(192, 1), nn.ReLU(), nn.Linear(1, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.LayerNorm(6), nn.Linear(6, 4)),
    ],
    ids=["no hidden layer", "one channel", "normalised"],
)
def test_nothing_to_prune(model: nn.Module) -> None:
    trial = Trial.of(model, IMAGES.shape)
    with pytest.raises(UserError, match=r"no channel of this network can be .* outputs of: 1"):
        coupled(trial, set(Masks.ones(model)))


def test_without_torch_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError, match=r"pip install 'scratchcard\[structured\]'"):
        found("vgg")
