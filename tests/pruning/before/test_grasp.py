"""GraSP against finite differences of the gradient's norm, and an explicit Hessian."""

import copy
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Context, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.before.grasp import Grasp
from scratchcard.testing import check_method

IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def network(*, inplace: bool = False) -> nn.Module:
    torch.manual_seed(0)
    body = (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=inplace), nn.Conv2d(3, 2, 3))
    return nn.Sequential(*body, nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(8, 3)).eval()


def context(model: nn.Module, masks: Masks | None = None, sparsity: float = 0.5) -> Context:
    masks = Masks.ones(model) if masks is None else masks
    return Context(model, masks, sparsity, torch.Generator(), IMAGES, LABELS)


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def flow(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> float:
    """The squared norm of the gradient, by the weights that ``masks`` keep, in training mode."""
    private = copy.deepcopy(model).train()
    images = IMAGES.to(private.get_parameter("0.weight").dtype)
    loss = cross_entropy(private(images) / 200, LABELS)
    found = torch.autograd.grad(loss, [private.get_parameter(name) for name in masks])
    return float(sum((g * masks[n]).square().sum() for n, g in zip(masks, found, strict=True)))


def slopes(model: nn.Module, masks: Masks) -> torch.Tensor:
    """Of ``flow``, along the scaling of each weight, by central differences in float64."""
    found = []
    for name in masks:
        weights = model.get_parameter(name).detach().view(-1)
        for index, weight in enumerate(weights.tolist()):
            sides = []
            for factor in (1 + 1e-5, 1 - 1e-5):
                weights[index] = factor * weight
                sides.append(flow(model, masks))
            weights[index] = weight
            found.append((sides[0] - sides[1]) / 2e-5)
    return torch.tensor(found, dtype=torch.float64)


def test_it_is_half_the_slope_of_the_gradients_norm() -> None:
    """Cutting w lowers ‖g‖² by 2 w (H g), to first order: the largest are kept."""
    model = network().double()
    found = flat(list(Grasp().scores(context(model)).values()))
    wanted = slopes(model, Masks.ones(model)) / 2
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * float(wanted.abs().max()))


def test_weights_that_are_cut_take_no_part_in_the_gradient() -> None:
    model = network().double()
    masks = keep_largest(Grasp().scores(context(model)), Masks.ones(model), 0.5, "uniform")
    masks.apply_(model)
    found = flat(list(Grasp().scores(context(model, masks)).values()))
    wanted = slopes(model, masks) / 2
    size = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * size)
    whole = flat(list(Grasp().scores(context(model)).values()))
    assert not torch.allclose(whole, wanted, rtol=0.1, atol=0.01 * size)


def test_it_is_the_explicit_hessian_times_the_gradient() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.Tanh(), nn.Linear(2, 3)).double()
    names = list(Masks.ones(model))
    weights = {name: model.get_parameter(name).detach() for name in names}

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = torch.split(vector, [w.numel() for w in weights.values()])
        shaped = {n: p.reshape(weights[n].shape) for n, p in zip(names, parts, strict=True)}
        logits = torch.func.functional_call(model, shaped, (IMAGES.double(),))
        return cross_entropy(logits / 200, LABELS)

    vector = flat(list(weights.values()))
    gradient = torch.func.grad(loss)(vector)
    hessian = torch.func.jacrev(torch.func.grad(loss))(vector)
    wanted = vector * (hessian @ gradient)
    found = Grasp().scores(context(model))
    torch.testing.assert_close(flat(list(found.values())), wanted, rtol=1e-9, atol=1e-16)


def test_the_sign() -> None:
    """What is cut raises the gradient's norm above that of the opposite choice."""
    model = network()
    kept = Grasp().start(context(model, sparsity=0.2))
    score = Grasp().scores(context(model))
    opposite = keep_largest({n: -s for n, s in score.items()}, Masks.ones(model), 0.2, "global")
    norms = []
    for masks in (kept, opposite):
        pruned = copy.deepcopy(model)
        masks.apply_(pruned)
        norms.append(flow(pruned, masks))
    assert norms[0] > flow(model, Masks.ones(model)) > norms[1]


def test_absolute_keeps_what_changes_the_gradient_most() -> None:
    model = network()
    signed, absolute = (Grasp(absolute=a).scores(context(model)) for a in (False, True))
    assert any((score < 0).any() for score in signed.values())
    assert all(torch.equal(absolute[name], score.abs()) for name, score in signed.items())


def test_the_temperature_matters() -> None:
    """Of a saturated softmax no second derivative is left, but for the temperature."""
    torch.manual_seed(0)
    saturated = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    nn.init.normal_(saturated.get_parameter("1.weight"), std=1e5)
    with pytest.raises(UserError, match="every score is zero"):
        Grasp(temperature=1.0).scores(context(saturated))
    assert any(s.any() for s in Grasp(temperature=1e6).scores(context(saturated)).values())
    cold, hot = (Grasp(temperature=t).start(context(network())) for t in (0.05, 200.0))
    assert cold != hot


def test_a_cut_weight_stays_cut() -> None:
    """Its score, zero, is above the negative ones of living weights."""
    model = network()
    first = Grasp().start(context(model, sparsity=0.3))
    first.apply_(model)
    score = Grasp().scores(context(model, first))
    second = Grasp().start(context(model, first, 0.4))
    assert not any((second[name] & ~first[name]).any() for name in first)
    buggy = keep_largest(score, Masks.ones(model), 0.4, "global")
    assert any((buggy[name] & ~first[name]).any() for name in first)


def test_in_place_activations_are_differentiated_twice() -> None:
    plain, inplace = (Grasp().scores(context(network(inplace=i))) for i in (False, True))
    assert all(torch.equal(plain[name], inplace[name]) for name in plain)


class Attending(nn.Module):
    """Rows of the image as tokens, in one layer of attention."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention, self.fc = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(36, 3)
        self.fused = fused

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images[:, 0]
        attended, _ = self.attention(rows, rows, rows, need_weights=not self.fused)
        logits: torch.Tensor = self.fc(attended.flatten(1))
        return logits


def test_fused_attention_is_differentiated_twice() -> None:
    fused, plain = (Grasp().scores(context(Attending(fused=f))) for f in (True, False))
    for name in plain:
        size = float(plain[name].abs().max())
        torch.testing.assert_close(fused[name], plain[name], rtol=1e-3, atol=1e-4 * size)


def test_batchnorm_statistics_are_left_as_they_were() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    Grasp().scores(context(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_options() -> None:
    with pytest.raises(UserError, match=r"temperature 0\.0 must be positive"):
        Grasp(temperature=0.0)
    with pytest.raises(UserError, match="set absolute = true"):
        Grasp(allocation="lamp")


def test_conformance() -> None:
    check_method("grasp")
    check_method("grasp", absolute=True, allocation="lamp")
