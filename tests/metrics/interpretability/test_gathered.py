"""Activations in a file are those in memory, to the last bit, and leave nothing behind."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from scratchcard import models
from scratchcard.contracts import Reading, Task, UserError
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.interpretability import gathered as module
from scratchcard.metrics.interpretability.compositional_concepts import compositional_concepts
from scratchcard.metrics.interpretability.concepts_kept import concepts_kept
from scratchcard.metrics.interpretability.layers import activations
from scratchcard.metrics.interpretability.netdissect import netdissect
from tests.metrics.interpretability.dissected import blobs
from tests.metrics.interpretability.seen import convolutional, pictures


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def mapped(maps: np.ndarray) -> bool:
    """Whether an array lies in a file."""
    while isinstance(maps.base, np.ndarray):
        maps = maps.base
    return isinstance(maps, np.memmap)


def readings() -> list[Reading]:
    """Of every metric that dissects."""
    one, other = (models.build("cifar-resnet", Task(3, 16, 16, 3), {"depth": 8}, s) for s in (0, 1))
    own = Concepts.of(pictures(12), "abc", ["colour"] * 3, blobs((3, 12, 16, 16), 0.1))
    return [
        netdissect(one, {"s": own}, quantile=0.05, permutations=19, batch_size=5),
        compositional_concepts(one, {"s": own}, quantile=0.05, length=2, batch_size=5),
        concepts_kept(one, other, {"s": own}, quantile=0.05, threshold=0.0, batch_size=5),
    ]


def test_no_number_depends_on_where_activations_lie(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = readings()
    monkeypatch.setattr(module, "HELD", 0)
    for one, other in zip(held, readings(), strict=True):
        assert one.value == other.value
        assert one.parts == other.parts
        np.testing.assert_array_equal(one.replicates, other.replicates)
        for name, drawn in one.pictures.items():
            np.testing.assert_array_equal(drawn, other.pictures[name])
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("limit", [0, 7 * 8 * 256 * 4 - 1, 7 * 8 * 256 * 4])
def test_activations_are_what_a_hook_hears(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", limit)
    network, images = convolutional(), pictures(7)
    _, maps = activations(network, images.pixels, layer="2", batch_size=3)
    heard: list[np.ndarray] = []
    network[2].register_forward_hook(lambda *args: heard.append(args[2].numpy()))
    with torch.no_grad():
        for start in (0, 3, 6):
            network(images.floats()[start : start + 3])
    np.testing.assert_array_equal(maps, np.concatenate(heard).swapaxes(0, 1))
    assert mapped(maps) == (limit < maps.nbytes)


def test_a_file_that_cannot_grow_is_told(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 0)
    large = np.broadcast_to(np.float32(0), (1, 640, 56, 56))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"8.0 GB find no room in {scratch} \(.+\).* TMPDIR"):
            module.gathered([large], 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(scratch.iterdir())
