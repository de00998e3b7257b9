"""ResNet, WRN, VGG and ViT: sizes, initial weights, structure and refusals."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models import build
from scratchcard.models.resnet import Basic
from scratchcard.models.wide_resnet import Block
from scratchcard.registry import MODELS

CIFAR, DIGITS, IMAGENET = Task(3, 32, 32, 10), Task(1, 8, 8, 10), Task(3, 224, 224, 1000)


@pytest.mark.parametrize(
    ("kind", "params", "count"),
    [
        # ResNet-18 less the 7x7 stem (7,680 less), and 10 for 1,000 classes (507,870 less).
        ("resnet", {}, 11_689_512 - 3 * 64 * (49 - 9) - 990 * 513),
        ("resnet", {"depth": 50}, 25_557_032 - 3 * 64 * (49 - 9) - 990 * 2049),
        # Zagoruyko and Komodakis, tables 4 and 5: 36.5, 8.9 and 11.0 million.
        ("wide-resnet", {}, 36_479_194),
        ("wide-resnet", {"depth": 40, "widen": 4}, 8_949_210),
        ("wide-resnet", {"depth": 16, "widen": 8}, 10_961_370),
        # The convolutions of torchvision's vgg16_bn and its BatchNorm; 512 x 10 + 10 weights.
        ("vgg", {}, 14_723_136 + 5_130),
        # Patches, class token, 65 positions, 6 blocks of 12 d^2 + 13 d, a LayerNorm, the head.
        ("vit", {}, 49 * 192 + 66 * 192 + 6 * (12 * 192**2 + 13 * 192) + 2 * 192 + 1_930),
    ],
)
def test_parameter_counts_on_cifar(kind: str, params: Mapping[str, Any], count: int) -> None:
    with torch.device("meta"):
        network = MODELS.get(kind).target(CIFAR, **params)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("task", "stem", "side"),
    [
        (CIFAR, "auto", 32),
        (CIFAR, "imagenet", 8),
        (Task(3, 64, 64, 200), "auto", 16),
        (Task(3, 64, 63, 200), "auto", 64),
        (Task(3, 64, 64, 200), "cifar", 64),
    ],
)
def test_stem(task: Task, stem: str, side: int) -> None:
    network = build("resnet", task, {"stem": stem, "widths": (1, 1, 1, 1)}, 0)
    seen: list[tuple[int, ...]] = []
    network.get_submodule("layer1").register_forward_hook(lambda _, x, out: seen.append(out.shape))
    network(torch.rand(2, 3, task.height, task.width))
    assert seen[0][2] == side


@pytest.mark.parametrize(
    ("kind", "params"),
    [("resnet", {}), ("resnet", {"depth": 50}), ("wide-resnet", {"widen": 2}), ("vgg", {})],
)
def test_initial_weights(kind: str, params: Mapping[str, Any]) -> None:
    """Convolutions have the variance 2 / fan_out; see `fan_in` fail where the two differ."""
    told_apart = 0
    for name, module in build(kind, CIFAR, params, 0).named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach()
            fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
            spread = 5 * (2 / weight.numel()) ** 0.5
            square = float(weight.square().mean()) / 2
            assert abs(square * fan_out - 1) < spread, name
            told_apart += abs(square * fan_in - 1) > spread
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()
    assert told_apart >= 3


@pytest.mark.parametrize("kind", ["resnet", "wide-resnet"])
def test_last_layer_starts_uniform(kind: str) -> None:
    widths = (64,) * (4 if kind == "resnet" else 3)
    weight = build(kind, CIFAR, {"widths": widths}, 0).get_parameter("fc.weight").detach()
    assert 0.95 / 8 < float(weight.max()) <= 1 / 8


def test_linear_layers_of_vgg_start_narrow() -> None:
    weight = build("vgg", CIFAR, {"depth": 11}, 0).get_parameter("classifier.weight").detach()
    assert float(weight.std()) == pytest.approx(0.01, rel=0.05)


def test_zero_init_makes_blocks_identities() -> None:
    for depth, channels in ((18, 4), (50, 16)):
        x = torch.rand(2, channels, 8, 8)
        params = {"depth": depth, "widths": (4, 4, 4, 4)}
        zero, plain = (
            build("resnet", CIFAR, params | {"zero_init": on}, 0).get_submodule("layer1.1")
            for on in (True, False)
        )
        assert torch.equal(zero(x), x)
        assert not torch.allclose(plain(x), x)


def test_blocks_of_a_resnet_by_hand() -> None:
    block = Basic(2, 3, 2).double().eval()
    x = torch.randn(2, 2, 6, 6, dtype=torch.double)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(3).double()
    out = block.bn2(block.conv2(block.bn1(block.conv1(x)).clamp(min=0)))
    projection, norm = block.downsample.children()
    assert torch.allclose(block(x), (out + norm(projection(x))).clamp(min=0))


@pytest.mark.parametrize(("ins", "stride"), [(3, 1), (2, 1), (3, 2)])
def test_blocks_of_a_wide_resnet_by_hand(ins: int, stride: int) -> None:
    """Where the shape changes, the shortcut takes the activated input, else the input itself."""
    block = Block(ins, 3, stride, 0.0).double().eval()
    x = torch.randn(2, ins, 6, 6, dtype=torch.double)
    block.bn1.running_mean = torch.rand(ins).double()
    activated = block.bn1(x).clamp(min=0)
    branch = block.conv2(block.bn2(block.conv1(activated)).clamp(min=0))
    kept = ins == 3 and stride == 1
    assert (block.downsample is None) == kept
    shortcut = x if block.downsample is None else block.downsample(activated)
    assert torch.allclose(block(x), shortcut + branch)
    raw = activated if block.downsample is None else block.downsample(x)
    assert not torch.allclose(block(x), raw + branch)


def test_dropout_acts_in_training_only() -> None:
    for kind, params in (
        ("wide-resnet", {"depth": 10, "widen": 1, "dropout": 0.5}),
        ("vgg", {"depth": 11, "width": 0.1, "head": "imagenet"}),
        ("vit", {"depth": 1, "dropout": 0.5}),
    ):
        network, x = build(kind, CIFAR, params, 0), torch.rand(4, 3, 32, 32)
        torch.manual_seed(0)
        assert not torch.equal(network(x), network(x)), kind
        network.eval()
        assert torch.equal(network(x), network(x)), kind


@pytest.mark.parametrize(
    ("task", "head", "names"),
    [
        (CIFAR, "auto", ["classifier.weight", "classifier.bias"]),
        (IMAGENET, "auto", [f"classifier.{i}.{n}" for i in (0, 3, 6) for n in ("weight", "bias")]),
        (CIFAR, "imagenet", ["classifier.0.weight"]),
        (IMAGENET, "cifar", ["classifier.weight"]),
    ],
)
def test_heads_of_vgg(task: Task, head: str, names: list[str]) -> None:
    with torch.device("meta"):
        state = MODELS.get("vgg").target(task, head=head).state_dict()
    found = [name for name in state if name.startswith("classifier")]
    assert found[: len(names)] == names


def test_initial_weights_of_vit() -> None:
    network = build("vit", CIFAR, {}, 0).requires_grad_(False)
    get = dict(network.named_parameters()).__getitem__
    block = "encoder.layers.encoder_layer_0"
    bound = (6 / (192 + 768)) ** 0.5
    assert 0.99 * bound < float(get(f"{block}.mlp.0.weight").max()) <= bound
    attention = (6 / (192 + 3 * 192)) ** 0.5
    assert 0.99 * attention < float(get(f"{block}.self_attention.in_proj_weight").max())
    assert float(get("conv_proj.weight").std()) == pytest.approx(48**-0.5, rel=0.05)
    assert float(get("encoder.pos_embedding").std()) == pytest.approx(0.02, rel=0.05)
    assert float(get("heads.head.weight").std()) == pytest.approx(0.02, rel=0.1)
    assert not get("class_token").any()
    for name, p in network.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name


def test_vit_knows_where_its_patches_are() -> None:
    """Without positions the class token would see a bag of patches."""
    network, x = build("vit", CIFAR, {"depth": 1}, 0).eval(), torch.rand(1, 3, 32, 32)
    moved = x.roll(4, dims=3)
    with torch.no_grad():
        assert not torch.allclose(network(x), network(moved), atol=1e-6)
        network.get_parameter("encoder.pos_embedding").zero_()
        assert torch.allclose(network(x), network(moved), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "task", "params", "message"),
    [
        ("resnet", CIFAR, {"depth": 20}, "depth = 20 is none of 18, 34, 50; take 18"),
        ("resnet", CIFAR, {"stem": "small"}, 'stem = "small" must be "auto", "cifar" or'),
        ("resnet", CIFAR, {"widths": (64, 128)}, r"widths = \[64, 128\] must name 4 stages"),
        ("resnet", CIFAR, {"widths": (0, 1, 1, 1)}, "of at least one channel, such as"),
        ("resnet", CIFAR, {"stem_width": 0}, "stem_width = 0 must be positive, such as 64"),
        ("resnet", CIFAR, {"mean": (0.1, 0.2)}, "2 numbers, but the images have 3 channels"),
        ("wide-resnet", CIFAR, {"depth": 20}, r"depth = 20 is not 6 n \+ 4 .*; take 16 or 22"),
        ("wide-resnet", CIFAR, {"depth": 4}, "take 10"),
        ("wide-resnet", CIFAR, {"widen": 0}, "widen = 0 must be positive, such as 10"),
        ("wide-resnet", CIFAR, {"widths": (1, 2)}, "must name 3 stages"),
        ("wide-resnet", CIFAR, {"stem_width": -1}, "stem_width = -1 must be positive"),
        ("wide-resnet", CIFAR, {"dropout": 1.0}, r"dropout = 1.0 must be at least 0 and below 1"),
        ("vgg", CIFAR, {"depth": 18}, "depth = 18 is none of 11, 13, 16, 19; take 19"),
        ("vgg", CIFAR, {"head": "none"}, 'head = "none" must be "auto"'),
        ("vgg", CIFAR, {"width": 0.0}, "width = 0.0 must be positive"),
        ("vgg", DIGITS, {}, "at least 32x32 pixels, not 1x8x8 images .* cifar-resnet take any"),
        ("vgg", Task(3, 224, 31, 2), {}, "at least 32x32 pixels"),
        (
            "vit",
            CIFAR,
            {"patch": 5},
            "patch = 5 does not tile 3x32x32 .* one of 1, 2, 4, 8, 16, 32",
        ),
        ("vit", CIFAR, {"dim": 100}, "dim = 100 is no multiple of heads = 3; take 99"),
        ("vit", CIFAR, {"heads": 0}, "heads = 0 must be positive, such as 3"),
        ("vit", CIFAR, {"depth": 0}, "depth = 0 must be positive, such as 6"),
        ("vit", CIFAR, {"mlp_ratio": 0.0}, "mlp_ratio = 0.0 must be positive"),
        ("vit", CIFAR, {"dropout": -0.1}, "dropout = -0.1 must be at least 0"),
    ],
)
def test_refusals(kind: str, task: Task, params: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, task, params, 0)
