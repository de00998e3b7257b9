"""Predictions against scipy, and the copies that make them against the model itself."""

import copy
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor, nn

from scratchcard.contracts import UserError
from scratchcard.probe import Predictions, floats, inference_copy, logits


class Residual(nn.Module):
    """Convolutions, BatchNorm and an addition; how it ends is up to the test."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.after = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def features(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return torch.relu(self.after(self.second(x)) + x)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.drop(self.features(x).mean((2, 3))))


class Branching(Residual):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x if x.sum() > 0 else -x)


class Counting(Residual):
    def forward(self, x: Tensor) -> Any:
        for _ in range(x.shape[1]):
            x = x * 1.01
        return super().forward(x)


class Viewing(Residual):
    """Asks for a memory layout that channels_last does not have."""

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).view(x.shape[0], -1, 8).mean(1))


class Shared(Residual):
    """One convolution under two BatchNorms: folding both into it would be wrong."""

    def forward(self, x: Tensor) -> Any:
        x = self.features(x)
        return self.head(self.norm(self.second(self.after(self.second(x)))).mean((2, 3)))


def trained(kind: type[Residual]) -> Residual:
    """A model in training mode whose BatchNorm has seen something."""
    torch.manual_seed(0)
    model = kind()
    for _ in range(5):
        model(torch.rand(16, 3, 8, 8) * 3)
    return model


@pytest.fixture
def images() -> Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (23, 3, 8, 8), generator=stream, dtype=torch.uint8)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_predictions_agree_with_scipy_in_float64() -> None:
    z = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * 20
    p = Predictions(z, np.arange(50) % 7)
    wanted = log_softmax(z.astype(np.float64), axis=1)
    assert p.log_probabilities.dtype == np.float64
    np.testing.assert_allclose(p.log_probabilities, wanted, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(p.probabilities.sum(axis=1), 1, rtol=1e-13)
    assert np.array_equal(p.confidence, p.probabilities.max(axis=1))
    assert np.array_equal(p.correct, z.argmax(axis=1) == np.arange(50) % 7)


def test_logits_of_10000_neither_overflow_nor_vanish() -> None:
    p = Predictions(np.array([[1e4, -1e4], [0, 1e4]], np.float32), np.array([1, 1]))
    assert p.log_probabilities[0].tolist() == [0.0, -2e4]
    assert p.confidence.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("z", "labels", "message"),
    [
        ([[0, np.nan], [np.inf, 0]], [0, 0], "2 of 4 logits"),
        ([[0.0], [1.0]], [0, 0], "2 classes or more"),
        ([[0.0, 1.0]], [2], "0 to 1"),
        ([[0.0, 1.0]], [-1], "from -1"),
        ([[0.0, 1.0]], [0, 1], r"\[N, K\]"),
        (np.zeros((0, 3)), np.zeros(0, int), "need examples"),
    ],
)
def test_impossible_predictions_are_refused(z: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Predictions(np.array(z, np.float32), np.array(labels))


def test_floats_are_exact() -> None:
    assert torch.equal(
        floats(torch.tensor([0, 51, 255], dtype=torch.uint8)) * 5, torch.tensor([0.0, 1, 5])
    )
    half = torch.tensor([0.123])
    assert torch.equal(floats(half), half)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_logits_are_those_of_the_model_in_evaluation_mode(images: Tensor, batch_size: int) -> None:
    model = trained(Residual)
    model.drop.eval()
    modes = [module.training for module in model.modules()]
    found = logits(model, images, batch_size=batch_size)
    assert [module.training for module in model.modules()] == modes
    with torch.no_grad():
        wanted = model.eval()(images / 255).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_mode_is_restored_after_a_failure(images: Tensor) -> None:
    model = trained(Residual)
    with pytest.raises(RuntimeError):
        logits(model, images[:, :2])
    assert model.training


def test_the_copy_folds_batchnorm_and_answers_the_same(images: Tensor) -> None:
    model = trained(Residual)
    fast = inference_copy(model, floats(images[:4]))
    assert (norms(model), norms(fast)) == (2, 0)
    assert not any(p.requires_grad for p in fast.parameters())
    np.testing.assert_allclose(logits(fast, images), logits(model, images), atol=1e-5)


@pytest.mark.parametrize("kind", [Branching, Counting, Viewing, Shared])
def test_what_cannot_be_folded_is_copied_as_it_is(kind: type[Residual], images: Tensor) -> None:
    model = trained(kind)
    plain = inference_copy(model, floats(images[:4]))
    assert norms(plain) == 2
    assert not plain.training
    assert np.array_equal(logits(plain, images), logits(model, images))


def test_the_model_is_left_as_it_is(images: Tensor) -> None:
    model = trained(Residual)
    before = copy.deepcopy(model.state_dict())
    inference_copy(model, floats(images[:4]))
    logits(model, images)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert model.first.weight.is_contiguous()


class Output(OrderedDict[str, Tensor]):
    """As transformers' ModelOutput: a mapping with attributes."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


@dataclass
class Plain:
    logits: Tensor


Pair = namedtuple("Pair", "main aside")


class Changed(Residual):
    """A network with something done to its answer."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(super().forward(x))


def changed(change: Callable[[Tensor], Any]) -> Changed:
    torch.manual_seed(0)
    return Changed(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: (z, z), r"returns tuple \(of 2\).*\[0\], if the logits come first"),
        (lambda z: [z], r"returns list \(of 1\).*\[0\]"),
        (lambda z: Pair(z, z), r"returns Pair \(of 2\).*\[0\]"),
        (lambda z: {"logits": z, "loss": z}, r"dict \(of logits, loss\).*net\(x\)\[\"logits\"\]"),
        (lambda z: {"out": z}, r"dict \(of out\).*returns the right one"),
        (lambda z: Output(logits=z), r"returns Output \(of logits\).*net\(x\)\.logits"),
        (lambda z: Plain(z), r"returns Plain.*net\(x\)\.logits"),
        (lambda z: None, "returns NoneType"),
        (lambda z: z[:, 0], r"returns \[\d\d?\] for \d\d? images"),
        (lambda z: z[:, :1], r"returns \[\d\d?, 1\] for \d\d? images"),
        (lambda z: z[:-1], r"returns \[\d\d?, 5\] for \d\d? images"),
        (lambda z: z[:, :, None], r"returns \[\d\d?, 5, 1\] for \d\d? images"),
        (lambda z: (z * 10).long(), "returns torch.int64"),
        (lambda z: z.softmax(dim=1), "returns probabilities.*remove the softmax"),
        (lambda z: z.softmax(dim=1).half(), "returns probabilities"),
        (lambda z: z.softmax(dim=1).bfloat16(), "returns probabilities"),
        (lambda z: (z * 1e4).softmax(dim=1), "returns probabilities"),
        (lambda z: (z * 0).softmax(dim=1), "returns probabilities"),
        (lambda z: z[:, :2].softmax(dim=1), "returns probabilities"),
    ],
)
def test_what_are_no_logits_is_refused_with_the_mend(
    images: Tensor, change: Callable[[Tensor], Any], message: str
) -> None:
    model = changed(change)
    for ask in (lambda: logits(model, images), lambda: inference_copy(model, floats(images[:8]))):
        with pytest.raises(UserError, match=message):
            ask()
    assert model.training


@pytest.mark.parametrize(
    "change",
    [
        nn.LogSoftmax(dim=1),
        nn.Sigmoid(),
        lambda z: z.softmax(dim=1) * 1.01,
        lambda z: (z - z.mean(dim=1, keepdim=True)) * 10 + 0.2,
        lambda z: torch.tensor([[1.0, 0.0]]).repeat(len(z), 1) + z[:, :2] * 1e-7,
        lambda z: z * torch.nan,
        lambda z: z.double(),
    ],
    ids=str,
)
def test_what_only_resembles_probabilities_is_let_through(
    images: Tensor, change: Callable[[Tensor], Tensor]
) -> None:
    model = changed(change).eval()
    with torch.no_grad():
        wanted = model(images / 255).float().numpy()
    np.testing.assert_allclose(logits(model, images), wanted, atol=1e-6)


def test_one_image_of_two_classes_may_add_up_to_one(images: Tensor) -> None:
    def change(z: Tensor) -> Tensor:
        return z[:, :2].softmax(dim=1)

    assert logits(changed(change), images[:1]).shape == (1, 2)
    with pytest.raises(UserError, match="probabilities"):
        logits(changed(change), images[:2])
    with pytest.raises(UserError, match="probabilities"):
        logits(changed(lambda z: z.softmax(dim=1)), images[:1])


def test_one_batch_of_probabilities_is_not_the_whole(images: Tensor) -> None:
    """Whether rows add up to one is asked of the whole pass, not of one batch."""

    def change(z: Tensor) -> Tensor:
        return z.softmax(dim=1) if len(z) < 8 else z

    assert logits(changed(change), images, batch_size=8).shape == (23, 5)


def test_logarithms_of_probabilities_are_as_good_as_logits(images: Tensor) -> None:
    labels = np.arange(len(images)) % 5
    plain = Predictions(logits(changed(lambda z: z), images), labels)
    logs = Predictions(logits(changed(nn.LogSoftmax(dim=1)), images), labels)
    np.testing.assert_allclose(logs.probabilities, plain.probabilities, atol=1e-6)


def test_the_mend_mends(images: Tensor) -> None:
    class Logits(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.net(x).logits
            return found

    wanted = logits(changed(lambda z: z), images)
    assert np.array_equal(logits(Logits(changed(lambda z: Output(logits=z))), images), wanted)
