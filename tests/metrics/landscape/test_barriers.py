"""Barriers to other networks than the twin, and the plane through three."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import NotApplicable
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.barrier_methods import barrier_methods
from scratchcard.metrics.landscape.barrier_rounds import barrier_rounds
from scratchcard.metrics.landscape.barrier_seeds import barrier_seeds
from scratchcard.metrics.landscape.connectivity_barrier import connectivity_barrier
from scratchcard.metrics.landscape.loss_plane import loss_plane


def network(seed: int, *, norm: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    return (
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(12, 16),
            nn.BatchNorm1d(16) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Linear(16, 3),
        )
        .eval()
        .requires_grad_(False)
    )


@pytest.fixture
def images() -> Images:
    torch.manual_seed(9)
    return Images(torch.randint(0, 256, (60, 3, 2, 2), dtype=torch.uint8), torch.arange(60) % 3)


def test_rounds_are_the_barrier_from_the_network_before(images: Images) -> None:
    one, two = network(0), network(1)
    found = barrier_rounds(one, two, images, images)
    wanted = connectivity_barrier(one, two, images, images)
    assert (found.value, found.stderr) == (wanted.value, wanted.stderr)


def test_the_mean_over_methods_is_that_of_each_alone(images: Images) -> None:
    model, others = network(0), {"b": network(1), "a": network(2)}
    found = barrier_methods(model, others, images, images)
    alone = {
        label: barrier_methods(model, {label: o}, images, images) for label, o in others.items()
    }
    assert found.value == pytest.approx(np.mean([one.value for one in alone.values()]))
    for label, one in alone.items():
        assert found.parts[label].value == one.value
    drawn = np.mean([np.asarray(one.replicates) for one in alone.values()], axis=0)
    assert found.stderr == pytest.approx(drawn.std(ddof=1))


def test_methods_with_other_shapes_are_left_out(images: Images) -> None:
    smaller = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    found = barrier_methods(network(0), {"a": network(1), "b": smaller}, images, images)
    assert "a" in found.parts
    assert "b" not in found.parts
    with pytest.raises(NotApplicable, match="of this shape"):
        barrier_methods(network(0), {"b": smaller}, images, images)


def test_seeds_are_joined_one_to_the_next(images: Images) -> None:
    nets = {seed: network(seed) for seed in (2, 0, 1)}
    found = barrier_seeds(nets, images, images)
    pairs = [(0, 1), (1, 2)]
    wanted = [
        connectivity_barrier(nets[b], nets[a], images, images, points=5).value for a, b in pairs
    ]
    assert [found.parts[f"seeds {a} to {b}"].value for a, b in pairs] == wanted
    assert found.value == pytest.approx(np.mean(wanted))
    with pytest.raises(NotApplicable, match="one seed"):
        barrier_seeds({0: nets[0]}, images, images)


def test_the_plane_holds_its_corners_and_their_distances(images: Images) -> None:
    ticket, dense, third = network(0), network(1), network(2)
    found = loss_plane(ticket, dense, {"reinitialised": third}, images, images, points=5)
    flat = [torch.cat([p.flatten() for p in n.parameters()]) for n in (dense, ticket, third)]
    for corner, net, vector in zip(
        ("dense", "ticket", "third"), (dense, ticket, third), flat, strict=True
    ):
        x, y = (found.parts[f"{axis}, {corner}"].value for axis in "xy")
        assert np.hypot(x, y) == pytest.approx(float((vector - flat[0]).norm()), abs=1e-5)
        loss = float(cross_entropy(net(images.floats()), images.labels))
        assert found.parts[f"loss, {corner}"].value == pytest.approx(loss, rel=1e-4)
    assert found.parts["y, ticket"].value == 0
    assert found.parts["y, third"].value > 0


def test_the_value_is_the_rise_over_the_corners(images: Images) -> None:
    """Against shares of the corners' weights, mixed by name, at the grid's points."""
    nets = network(1), network(0), network(2)
    found = loss_plane(nets[1], nets[0], {"reinitialised": nets[2]}, images, images, points=7)
    corners = np.array(
        [[found.parts[f"{axis}, {c}"].value for axis in "xy"] for c in ("dense", "ticket", "third")]
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    reach = 0.2 * (high - low)
    ends = [corners[0], corners[1] - corners[0], corners[2] - corners[0]]
    rises = []
    for x in np.linspace(low[0] - reach[0], high[0] + reach[0], 7):
        for y in np.linspace(low[1] - reach[1], high[1] + reach[1], 7):
            b, c = np.linalg.solve(np.stack(ends[1:], axis=1), np.array([x, y]) - ends[0])
            shares = (1 - b - c, b, c)
            if min(shares) < 0:
                continue
            mixed = copy.deepcopy(nets[0])
            with torch.no_grad():
                for p, *own in zip(
                    mixed.parameters(), *(net.parameters() for net in nets), strict=True
                ):
                    p.copy_(sum(s * w for s, w in zip(shares, own, strict=True)))
            loss = float(cross_entropy(mixed(images.floats()), images.labels))
            of_corners = [float(cross_entropy(net(images.floats()), images.labels)) for net in nets]
            rises.append(loss - float(np.dot(shares, of_corners)))
    assert len(rises) >= 5
    assert found.value == pytest.approx(np.mean(rises), abs=1e-5)


def test_batch_norm_is_estimated_anew_at_every_point(images: Images) -> None:
    ticket, dense, third = (network(seed, norm=True) for seed in range(3))
    before = loss_plane(ticket, dense, {"reinitialised": third}, images, images, points=3)
    for net in (ticket, dense, third):
        net.get_buffer("2.running_mean").add_(3)
    with torch.no_grad():
        after = loss_plane(ticket, dense, {"reinitialised": third}, images, images, points=3)
    assert after.value == pytest.approx(before.value, abs=1e-6)


def test_three_on_a_line_or_without_a_third_span_no_plane(images: Images) -> None:
    one, two = network(0), network(1)
    with pytest.raises(NotApplicable, match="no ticket of a method labelled"):
        loss_plane(one, two, {}, images, images)
    with pytest.raises(NotApplicable, match="they span no plane"):
        loss_plane(one, copy.deepcopy(one), {"reinitialised": two}, images, images)
    with pytest.raises(NotApplicable, match="lie on a line"):
        loss_plane(one, two, {"reinitialised": copy.deepcopy(one)}, images, images)
