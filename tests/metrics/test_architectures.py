"""Every metric of interpretability and landscape works on every architecture, at any size."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import Part, Reading, Task
from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts
from scratchcard.metrics.interpretability import occlusion
from scratchcard.metrics.interpretability.segments import segments
from scratchcard.metrics.landscape.walking import re_estimate
from scratchcard.metrics.measure import call, options, providers
from scratchcard.models import build
from scratchcard.registry import METRICS

CLASSES = 3
NARROW: Mapping[str, tuple[str, dict[str, Any]]] = {
    "resnet-20": ("cifar-resnet", {"widths": (2, 2, 2)}),
    "wrn-10": ("wide-resnet", {"depth": 10, "widths": (2, 2, 2), "stem_width": 2}),
    "vgg-11": ("vgg", {"depth": 11, "width": 0.02}),
    "resnet-50": ("resnet", {"depth": 50, "widths": (1, 1, 2, 2), "stem_width": 2}),
    "vit": ("vit", {"dim": 8, "depth": 2, "heads": 2}),
}
"""A kind of model and options that leave a few units in every layer."""
SHAPES = {8: (1, 8, 8), 32: (3, 32, 32), 128: (1, 128, 128), 224: (3, 224, 224)}
PATCH = {8: 2, 32: 8, 128: 32, 224: 56}
LEFT_OUT = [("vgg-11", 8), ("resnet-50", 8), ("resnet-50", 32)]
"""VGG halves images five times, and so takes none of 8 pixels; ResNet-50's many layers are slow."""
CASES = [(name, size) for name in NARROW for size in SHAPES if (name, size) not in LEFT_OUT]

LIME: dict[str, Any] = {"images": 2, "masks": 8}
LINE: dict[str, Any] = {"points": 3, "images": 2, "statistics": 2}
NOISE: dict[str, Any] = {"draws": 2, "images": 2, "upper": 0.1}
OPTIONS: Mapping[str, dict[str, Any]] = {
    "adaptive-sharpness": {"images": 2},
    "barrier-methods": LINE,
    "barrier-rounds": LINE,
    "barrier-seeds": LINE,
    "compositional-concepts": {"length": 2, "beam": 2, "quantile": 0.05},
    "concepts-kept": {"quantile": 0.05, "threshold": 0.0},
    "connectivity-barrier": LINE,
    "explanation-agreement": LIME,
    "fidelity": LIME,
    "fidelity-r2": LIME,
    "input-hessian-top": {"images": 2, "steps": 2},
    "input-hessian-trace": {"images": 2, "probes": 2},
    "input-noise-tolerance": NOISE,
    "loss-plane": LINE,
    "netdissect": {"quantile": 0.05, "permutations": 19},
    "noise-tolerance": NOISE,
    "sharpness": {"images": 2},
    "stability": {**LIME, "repeats": 2},
    "stability-noise": LIME,
    "weight-hessian-top": {"images": 2, "steps": 1},
    "weight-hessian-trace": {"images": 2, "probes": 2},
}
"""So little of each metric that all of them together take a second or two."""


def made(name: str, size: int, seed: int, pixels: Tensor) -> nn.Module:
    """A narrow network, whose BatchNorm has seen images, so that no logit is huge."""
    kind, params = NARROW[name]
    if kind == "vit":
        params = {**params, "patch": PATCH[size]}
    model = build(kind, Task(*SHAPES[size], CLASSES), params, seed).eval()
    re_estimate(model, pixels)
    return model


def pictures(size: int) -> Images:
    """Four images of sixteen blocks of colour: what is flat is soon segmented."""
    stream = torch.Generator().manual_seed(size)
    blocks = torch.rand(4, SHAPES[size][0], 4, 4, generator=stream)
    pixels = blocks.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)
    return Images((255 * pixels).byte(), torch.arange(4) % CLASSES)


def halves(images: Images) -> Concepts:
    """Bright and dark pixels, and the upper half."""
    bright = images.floats().mean(dim=1).numpy() > 0.5
    upper = np.zeros_like(bright)
    upper[:, : bright.shape[1] // 2] = True
    masks = np.stack([bright, ~bright, upper])
    return Concepts.of(images, ("bright", "dark", "top"), ("colour", "colour", "position"), masks)


def pruned(model: nn.Module) -> nn.Module:
    """A copy with every weight a little off and a fifth of the weights of matrices cut."""
    other, stream = copy.deepcopy(model), torch.Generator().manual_seed(7)
    for p in other.parameters():
        p.data *= 1 + 0.1 * torch.randn(p.shape, generator=stream)
        if p.ndim > 1:
            p.data *= torch.rand(p.shape, generator=stream) > 0.2
    return other


def everything(name: str, size: int) -> dict[str, Callable[[], Any]]:
    """What the metrics need of a pruned network of this architecture."""
    images = pictures(size)
    dense, other = (made(name, size, seed, images.pixels) for seed in (0, 1))
    model = pruned(dense)
    found = providers(
        model,
        images,
        train=images,
        concepts={"halves": halves(images)},
        dense=dense,
        previous=dense,
        networks={"reinitialised": other},
    )
    return {**found, "all_models": lambda: {0: model, 1: other}}


@pytest.fixture
def segmented_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments depend on the image alone: those of one are found for the first metric only."""
    found: dict[bytes, Tensor] = {}

    def once(images: Tensor) -> Tensor:
        key = images.numpy().tobytes()
        if key not in found:
            found[key] = segments(images)
        return found[key]

    monkeypatch.setattr(occlusion, "segments", once)


def test_every_metric_is_here() -> None:
    own = ("interpretability", "landscape")
    assert set(OPTIONS) == {n for n in METRICS.names() if METRICS.get(n).dimension in own}


@pytest.mark.usefixtures("segmented_once")
@pytest.mark.parametrize(("name", "size"), CASES)
def test_metrics_work(name: str, size: int) -> None:
    """None has a reason not to apply, so that each must give numbers, all of them finite."""
    available = everything(name, size)
    for metric, chosen in OPTIONS.items():
        spec = METRICS.get(metric)
        reading = call(spec, available, options(spec, "default", chosen))
        parts: dict[str, Reading | Part] = {"": reading, **reading.parts}
        odd = [k for k, p in parts.items() if not math.isfinite(p.value + p.stderr)]
        assert not odd, f"{metric}: {odd}"
        if metric.startswith("input-hessian"):
            # ReLU networks take the exact way; GELU, softmax and LayerNorm are curved.
            assert reading.parts["exact"].value == (name != "vit"), metric
