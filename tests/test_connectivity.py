"""Effective sparsity against the paths of the unrolled network, found by search."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scratchcard import models
from scratchcard.connectivity import effective
from scratchcard.contracts import NotApplicable, Task, UserError
from scratchcard.masks import Masks, prunable

Node = tuple[object, ...]
Edge = tuple[Node, Node, Node | None]
"""From, to, and the weight in between (layer and index), or None for a shortcut."""


def on_paths(edges: Iterable[Edge], ins: Iterable[Node], outs: set[Node]) -> set[Node]:
    """The weights on any path, by listing every path."""
    leaving = defaultdict(list)
    for start, end, weight in edges:
        leaving[start].append((end, weight))

    def paths(node: Node) -> Iterator[list[Node]]:
        if node in outs:
            yield []
        for end, weight in leaving[node]:
            for rest in paths(end):
                yield [weight, *rest] if weight is not None else rest

    return {weight for node in ins for path in paths(node) for weight in path}


def kept(masks: Masks) -> set[Node]:
    return {(n, *index) for n, mask in masks.items() for index in mask.nonzero().tolist()}


def draw(model: nn.Module, density: float, seed: int) -> Masks:
    stream = torch.Generator().manual_seed(seed)
    return Masks(
        {n: torch.rand(p.shape, generator=stream) < density for n, p in prunable(model).items()}
    )


def linear(name: str, mask: Tensor, source: str, target: str) -> list[Edge]:
    return [((source, i), (target, o), (name, o, i)) for o, i in mask.nonzero().tolist()]


def convolution(
    name: str, mask: Tensor, source: str, target: str, size: int, groups: int = 1
) -> list[Edge]:
    """Of 3x3, padded by one, on images of size x size, pixel by pixel."""
    outs, ins = mask.shape[0] // groups, mask.shape[1]
    return [
        (
            (source, o // outs * ins + i, y + dy - 1, x + dx - 1),
            (target, o, y, x),
            (name, o, i, dy, dx),
        )
        for o, i, dy, dx in mask.nonzero().tolist()
        for y in range(size)
        for x in range(size)
        if 0 <= y + dy - 1 < size and 0 <= x + dx - 1 < size
    ]


class Residual(nn.Module):
    """Linear layers with a shortcut, functional activations and a scaled, shifted input."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (
            nn.Linear(i, o) for i, o in ((3, 4), (4, 4), (4, 4), (4, 2))
        )
        self.register_buffer("mean", torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a((x - self.mean) / 0.5))
        x = x - self.c(functional.gelu(self.b(x), approximate="tanh")) + 1.0
        logits: Tensor = self.d(functional.dropout(x, 0.5, self.training))
        return logits


class Convolutional(nn.Module):
    """Grouped convolutions, BatchNorm, a shortcut in place, concatenation and max-pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1, groups=2)
        self.bn, self.relu, self.pool = nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.c = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.a(x)))
        y = self.bn(self.b(x))
        y.add_(x)
        x = self.pool(torch.cat([functional.silu(y), x], 1))
        logits: Tensor = self.c(x.view(x.size(0), -1))
        return logits


@pytest.mark.parametrize("density", [0.2, 0.35, 0.6])
@pytest.mark.parametrize("seed", range(6))
class TestAgainstEveryPath:
    def test_linear_layers_with_a_shortcut(self, density: float, seed: int) -> None:
        model = Residual()
        masks = draw(model, density, seed)
        edges: list[Edge] = [(("h", i), ("k", i), None) for i in range(4)]
        for layer, source, target in (
            ("a", "x", "h"),
            ("b", "h", "m"),
            ("c", "m", "k"),
            ("d", "k", "y"),
        ):
            edges += linear(f"{layer}.weight", masks[f"{layer}.weight"], source, target)
        wanted = on_paths(edges, [("x", i) for i in range(3)], {("y", i) for i in range(2)})
        assert kept(effective(model, masks, (3,))) == wanted

    def test_convolutions_pixel_by_pixel(self, density: float, seed: int) -> None:
        model, size = Convolutional(), 2
        masks = draw(model, density, seed)
        edges = convolution("a.weight", masks["a.weight"], "x", "h", size)
        edges += convolution("b.weight", masks["b.weight"], "h", "k", size, groups=2)
        for channel in range(2):
            for y in range(size):
                for x in range(size):
                    place: Node = (channel, y, x)
                    edges += [
                        (("h", *place), ("k", *place), None),
                        (("k", *place), ("p", channel), None),
                        (("h", *place), ("p", channel + 2), None),
                    ]
        edges += linear("c.weight", masks["c.weight"], "p", "y")
        ins: list[Node] = [("x", 0, y, x) for y in range(size) for x in range(size)]
        wanted = on_paths(edges, ins, {("y", 0), ("y", 1)})
        assert kept(effective(model, masks, (1, size, size))) == wanted


class TestNetworks:
    @pytest.mark.parametrize("shortcut", ["A", "B"])
    def test_a_dense_network_is_connected(self, shortcut: str) -> None:
        task = Task(3, 8, 8, 10)
        for kind, params in (("mlp", {}), ("lenet", {}), ("cifar-resnet", {"shortcut": shortcut})):
            model = models.build(kind, task, params, seed=0)
            assert effective(model, Masks.ones(model), (3, 8, 8)) == Masks.ones(model)

    def test_an_emptied_layer_disconnects_a_chain(self) -> None:
        model = models.build("mlp", Task(1, 4, 4, 3), {}, seed=0)
        ones = Masks.ones(model)
        for layer in ones:
            masks = Masks({n: m if n != layer else torch.zeros_like(m) for n, m in ones.items()})
            assert masks.sparsity < 1
            assert effective(model, masks, (1, 4, 4)).sparsity == 1

    def test_shortcuts_carry_on_past_an_emptied_layer(self) -> None:
        model = models.build(
            "cifar-resnet", Task(3, 8, 8, 10), {"depth": 8, "shortcut": "B"}, seed=0
        )
        ones = Masks.ones(model)
        gone = "layer2.0.conv1.weight"
        masks = Masks({n: m if n != gone else torch.zeros_like(m) for n, m in ones.items()})
        found = effective(model, masks, (3, 8, 8))
        dead = {gone, "layer2.0.conv2.weight"}
        assert set(found.collapsed) == dead
        assert all(torch.equal(found[n], ones[n]) for n in ones if n not in dead)

    def test_masks_made_of_whole_paths_lose_nothing(self) -> None:
        """As SynFlow's: each is what is left after all that is on no path has gone."""
        model = models.build("lenet", Task(1, 8, 8, 10), {}, seed=0)
        masks = draw(model, 0.03, 0)
        found = effective(model, masks, (1, 8, 8))
        assert 0 < found.kept < masks.kept
        assert effective(model, found, (1, 8, 8)) == found

    def test_depth_neither_overflows_nor_underflows(self) -> None:
        """One unit of 64 lives in each of 400 layers: a product of fan-ins would be 1e-722."""
        model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(400)))
        alive = torch.zeros(64, 64, dtype=torch.bool)
        alive[0] = True
        masks = Masks(dict.fromkeys(prunable(model), alive))
        found = effective(model, masks, (64,))
        assert list(found.layers().values()) == [64] + [1] * 399
        # Nearly dense, gradients that add up would reach 63^400: infinity, and not a number.
        some = torch.ones(64, 64, dtype=torch.bool)
        some[0, 1] = False
        dense = Masks(dict.fromkeys(prunable(model), some))
        assert effective(model, dense, (64,)) == dense

    def test_weights_that_no_mask_names_are_kept(self) -> None:
        model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 2))
        masks = Masks({"0.weight": torch.tensor([True, False]).reshape(2, 1, 1, 1)})
        assert effective(model, masks, (1, 1, 1)) == masks

    def test_a_shared_weight_lives_where_any_use_does(self) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        model[1].weight = model[0].weight
        masks = Masks({"0.weight": torch.tensor([[False, True], [False, False]])})
        # Its second use reads a unit that nothing reaches: x1 -> h0, and h1 -> y0.
        assert effective(model, masks, (2,)).kept == 0
        looped = Masks({"0.weight": torch.tensor([[True, True], [False, False]])})
        assert effective(model, looped, (2,)) == looped

    def test_the_model_is_left_as_it_was(self) -> None:
        model = Convolutional().train().requires_grad_(False)
        before = copy.deepcopy(model.state_dict())
        effective(model, draw(model, 0.5, 0), (1, 2, 2))
        assert model.training
        assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])


class Gate(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return input * torch.sigmoid(super().forward(input))


class Standardised(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight - self.weight.mean(), self.bias)


class TestNotApplicable:
    @pytest.mark.parametrize(
        ("layer", "reason"),
        [
            (nn.LayerNorm(4), "layer_norm"),
            (nn.GroupNorm(2, 4), "group_norm"),
            (nn.Softmax(1), "softmax"),
            (nn.TransformerEncoderLayer(4, 2), "multi_head_attention_forward"),
            (Gate(4, 4), "multiplies two signals"),
            (Standardised(4, 4), "computed from the parameters"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
    )
    def test_the_reason_is_given(self, layer: nn.Module, reason: str) -> None:
        model = nn.Sequential(nn.Linear(4, 4), layer)
        with pytest.raises(NotApplicable, match=f"effective sparsity .* because .*{reason}"):
            effective(model, draw(model, 0.5, 0), (4,))

    def test_wrong_shapes_are_refused(self) -> None:
        model = nn.Sequential(nn.Linear(4, 4))
        with pytest.raises(UserError, match=r"does not take an input of shape \(5,\)"):
            effective(model, Masks.ones(model), (5,))
        with pytest.raises(UserError, match="do not belong to this model"):
            effective(model, Masks({"x": torch.ones(1, dtype=torch.bool)}), (4,))
