"""The Hessian by the weights against curvlinops'; hessian.npz comes from benchmarks/hessian.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.data.base import Images
from scratchcard.metrics.landscape.hessian import Weights, derivatives
from scratchcard.metrics.landscape.weight_hessian_top import weight_hessian_top
from tests.metrics.landscape.curved import Exact


def test_every_column_and_the_largest_eigenvalue_are_those_of_curvlinops() -> None:
    with np.load(Path(__file__).with_name("hessian.npz"), allow_pickle=False) as file:
        kept = {name: torch.from_numpy(array) for name, array in file.items()}
    network = Exact(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    network.load_state_dict({name: kept[name] for name in network.state_dict()})
    images, wanted = Images(kept["pixels"], kept["labels"].long()), kept["hessian"]
    weights = Weights.of(network)
    with derivatives(network):
        product = weights.products(images, len(images))
        columns = [product(unit) for unit in torch.eye(len(wanted), dtype=torch.float64)]
    torch.testing.assert_close(torch.stack(columns), wanted, rtol=1e-8, atol=1e-12)
    top = weight_hessian_top(network, images, images=0, steps=60, tolerance=1e-8)
    assert top.value == pytest.approx(float(torch.linalg.eigvalsh(wanted)[-1]), rel=1e-10)
