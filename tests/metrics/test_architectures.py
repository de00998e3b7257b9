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

from scratchcard.contracts import NotApplicable, Reading, Task
from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts
from scratchcard.metrics.landscape.walking import re_estimate
from scratchcard.metrics.measure import call, options, providers
from scratchcard.models import build
from scratchcard.registry import METRICS

CLASSES = 3
NARROW: Mapping[str, tuple[str, dict[str, Any]]] = {
    "resnet-20": ("cifar-resnet", {"widths": (2, 3, 4)}),
    "wrn-10": ("wide-resnet", {"depth": 10, "widths": (2, 3, 4), "stem_width": 2}),
    "vgg-11": ("vgg", {"depth": 11, "width": 0.02}),
    "resnet-50": ("resnet", {"depth": 50, "widths": (1, 1, 2, 2), "stem_width": 2}),
    "vit": ("vit", {"dim": 8, "depth": 2, "heads": 2}),
}
"""A kind of model and options that leave a few units in every layer."""
SHAPES = {8: (1, 8, 8), 32: (3, 32, 32), 128: (1, 128, 128), 224: (3, 224, 224)}
PATCH = {8: 2, 32: 8, 128: 32, 224: 56}
CASES = [(name, size) for name in NARROW for size in SHAPES if (name, size) != ("vgg-11", 8)]
"""VGG halves images five times, and so takes none of 8 pixels."""

LIME: dict[str, Any] = {"images": 2, "masks": 8}
LINE: dict[str, Any] = {"points": 3, "images": 2, "statistics": 2}
NOISE: dict[str, Any] = {"draws": 2, "images": 2}
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
    "loss-plane": {**LINE, "points": 4},
    "netdissect": {"quantile": 0.05, "permutations": 19},
    "noise-tolerance": NOISE,
    "sharpness": {"images": 2},
    "stability": {**LIME, "repeats": 2},
    "stability-noise": LIME,
    "weight-hessian-top": {"images": 2, "steps": 2},
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


def test_every_metric_is_here() -> None:
    own = ("interpretability", "landscape")
    assert set(OPTIONS) == {n for n in METRICS.names() if METRICS.get(n).dimension in own}


import time, sys
@pytest.mark.parametrize(("name", "size"), CASES)
def test_metrics_work(name: str, size: int) -> None:
    available = everything(name, size)
    exact = float(name != "vit")
    for metric, chosen in OPTIONS.items():
        spec = METRICS.get(metric)
        t = time.process_time()
        try:
            reading = call(spec, available, options(spec, "default", chosen))
        except NotApplicable as e:
            print(f"{name} {size} {metric} N/A {e}")
            continue
        dt = time.process_time() - t
        print(f"{name} {size} {metric} {reading.value:.4g} +- {reading.stderr:.3g} {dt:.2f} s {reading.parts['exact'].value if 'exact' in reading.parts else ''}")
        assert all(map(math.isfinite, (reading.value, reading.stderr))), metric
        for label, part in reading.parts.items():
            assert math.isfinite(part.value) and math.isfinite(part.stderr), f"{metric}: {label}"
        if "exact" in reading.parts:
            assert reading.parts["exact"].value == exact, metric
