"""Superpixels: connected segments of an image, found from the image alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from scratchcard.probe import floats

SCALE, SIGMA, SMALLEST = 10 / 255, 0.4, 20
"""Of an image of 32x32, the paper's: how readily parts join, the blur, and a segment's least area.

The first is a distance of colours in [0, 1] times an area. In larger images it grows with the side,
as does the blur. The least area is 2 % of any image, so that there are about as many segments.
"""
AREA, FEWEST = 32 * 32, 4
"""Where these constants hold, and how small a segment may be in any image."""
ROUNDS = 8
"""How often edges that no longer matter are sorted out; it changes the time alone."""


def segments(images: Tensor) -> Tensor:
    """The segment of every pixel, by Felzenszwalb and Huttenlocher's graph segmentation.

    Neighbouring pixels, diagonal ones too, are joined by edges as long as their colours are apart.
    From the shortest on, an edge unites two parts if it is shorter than what either of them
    bears: the longest edge it was built with, plus ``SCALE`` over its area. Then parts that are
    too small join a neighbour. Nothing is random, and no network has a say.

    Args:
        images: uint8, or float in [0, 1], [N, C, H, W]; grey ones are as their copies in colour.

    Returns:
        int64 [N, H, W], on the CPU: in each image 0, 1, ... in the order of reading.

    Source:
        Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004.

    >>> halves = torch.zeros(1, 1, 3, 8)
    >>> halves[..., 4:] = 1
    >>> segments(halves)[0, 0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    height, width = images.shape[2:]
    larger = math.sqrt(max(1.0, height * width / AREA))
    smallest = max(FEWEST, round(SMALLEST * height * width / AREA))
    ends = _neighbours(height, width)
    found = []
    for image in floats(images.cpu()).double().numpy():
        blurred = gaussian_filter(image, (0, *[SIGMA * larger] * 2))
        colours = blurred.reshape(len(image), -1) * math.sqrt(3 / len(image))
        lengths = np.sqrt(np.square(colours[:, ends[0]] - colours[:, ends[1]]).sum(axis=0))
        order = np.argsort(lengths, kind="stable")
        parent, area = _grown(ends[:, order], lengths[order], height * width, SCALE * larger)
        _absorb(parent, area, ends[:, order], smallest)
        found.append(_numbered(_roots(parent)))
    return torch.from_numpy(np.stack(found)).reshape(-1, height, width)


def _neighbours(height: int, width: int) -> np.ndarray:
    """Pairs of pixels that touch, also by a corner [2, E]."""
    pixel = np.arange(height * width).reshape(height, width)
    pairs = (
        (pixel[:, :-1], pixel[:, 1:]),
        (pixel[:-1], pixel[1:]),
        (pixel[:-1, :-1], pixel[1:, 1:]),
        (pixel[:-1, 1:], pixel[1:, :-1]),
    )
    return np.stack([np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1)])


def _grown(
    ends: np.ndarray, lengths: np.ndarray, pixels: int, scale: float
) -> tuple[list[int], list[int]]:
    """Unite parts along edges that both of them bear.

    Args:
        ends: Pairs of pixels [2, E].
        lengths: How far apart their colours are, from the least [E].
        pixels: How many there are.
        scale: What a single pixel bears.

    Returns:
        Of every pixel another of its part, in the end one that stands for the part; and of that
        one the part's area.
    """
    parent, area, bears = list(range(pixels)), [1] * pixels, [scale] * pixels
    step = len(lengths) // ROUNDS + 1
    while len(lengths):
        for a, b, length in zip(*ends[:, :step].tolist(), lengths[:step].tolist(), strict=True):
            a, b = _root(parent, a), _root(parent, b)
            if a != b and length < bears[a] and length < bears[b]:
                _unite(parent, area, a, b)
                bears[a] = length + scale / area[a]
        ends, lengths = _roots(parent)[ends[:, step:]], lengths[step:]
        # A part that does not bear an edge of this length bears none of those to come.
        left = (ends[0] != ends[1]) & (np.array(bears)[ends] > lengths[:1]).all(axis=0)
        ends, lengths = ends[:, left], lengths[left]
    return parent, area


def _absorb(parent: list[int], area: list[int], ends: np.ndarray, smallest: int) -> None:
    """Unite parts that are too small with the neighbour at the end of their shortest edge."""
    ends = _roots(parent)[ends]
    few = (ends[0] != ends[1]) & (np.array(area)[ends] < smallest).any(axis=0)
    for a, b in ends[:, few].T.tolist():
        a, b = _root(parent, a), _root(parent, b)
        if a != b and min(area[a], area[b]) < smallest:
            _unite(parent, area, a, b)


def _root(parent: list[int], node: int) -> int:
    """The node that stands for a node's part; the way to it is halved."""
    while parent[node] != node:
        parent[node] = node = parent[parent[node]]
    return node


def _roots(parent: list[int]) -> np.ndarray:
    """That of every node."""
    above = np.array(parent)
    while not np.array_equal(above, above[above]):
        above = above[above]
    return above


def _unite(parent: list[int], area: list[int], a: int, b: int) -> None:
    """Put part b under part a."""
    parent[b] = a
    area[a] += area[b]


def _numbered(roots: np.ndarray) -> np.ndarray:
    """Numbers 0, 1, ... in the order in which the parts first come."""
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse])
