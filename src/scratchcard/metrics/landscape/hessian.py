"""What the metrics of Hessians share: their images, and products with vectors from a kept graph.

All is in evaluation mode, on a private copy, with probes that depend on names and places alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.data.base import Images
from scratchcard.data.choose import choose
from scratchcard.masks import Masks
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.probe import Predictions, device_of, floats, logits
from scratchcard.seeds import numpy_stream, torch_stream
from scratchcard.stats import resamples, sample_size

ONLY_ONCE = ("is not implemented", "differentiate twice", "double backward")
"""How torch says that an operation has no second derivative."""
BLOCKS = 25
"""Groups of images with probes of their own: their spread is then known to about 14 %."""
PART = 2**22
"""Coordinates that are added up at once: float64 copies of all would fill memory."""


def sample(model: nn.Module, train: Images, *, images: int, first: bool, batch_size: int) -> Images:
    """The images that a Hessian is taken of, the same for every network; logits are looked at.

    Args:
        model: It is left as it is.
        train: Images of the training split.
        images: How many; 0 for all.
        first: The first ones; else a fixed draw with equal counts a class as far as they last.
        batch_size: Images per forward pass.

    Raises:
        UserError: A number out of range, or the network returns no logits.
        ValueError: Fewer than two images, a logit that is not finite, a label that is no class,
            images of a batch that change each other's logits.
    """
    check_counts(batch_size=batch_size)
    count = sample_size(len(train), images)
    if count < 2:
        raise ValueError(f"a standard error needs at least 2 images, not {count}")
    labels = train.labels.cpu().numpy()
    stream = numpy_stream(0, "images of Hessians")
    rows = np.arange(count) if first else choose(labels, count, stream, even=True)
    with torch.inference_mode(False):
        taken = train.take(rows)
    found = Predictions(logits(model, taken.pixels, batch_size=batch_size), labels[rows]).logits
    one, two = (logits(model, taken.pixels[:few], batch_size=few)[0] for few in (1, 2))
    if not np.allclose(one, two, rtol=1e-3, atol=1e-3 * float(np.abs(found).max())):
        raise ValueError(
            "the answer for an image depends on the others of its batch, as where BatchNorm keeps "
            "no statistics: a Hessian would, too"
        )
    return taken


def blocks(labels: np.ndarray) -> list[np.ndarray]:
    """Rows of ``BLOCKS`` groups, or as many as there are images, dealt out class by class.

    >>> [rows.tolist() for rows in blocks(np.array([0, 1, 0]))]
    [[0], [2], [1]]
    """
    order = np.argsort(labels, kind="stable")
    count = min(BLOCKS, len(labels))
    return [order[block::count] for block in range(count)]


def private_copy(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode and in float32 at least, to be differentiated."""
    with torch.inference_mode(False):  # what is made in that mode cannot be differentiated
        private = copy.deepcopy(model).eval()
        return private.to(torch.promote_types(dtype_of(private), torch.float32))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The precision of its first floating-point parameter; float32 if it has none."""
    found = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(found, torch.float32)


@contextmanager
def derivatives(model: nn.Module) -> Iterator[None]:
    """Gradients on, reduced precision off, and no fused attention, which has no second derivative.

    The caller may be in ``torch.no_grad``, ``torch.inference_mode`` or ``torch.autocast``.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device_of(model).type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield


def shown(network: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    """Pixels as the network takes them, and labels, where it is."""
    place = device_of(network)
    return floats(images.pixels.to(place)).to(dtype_of(network)), images.labels.to(place)


def products(
    number: Tensor, inputs: Sequence[Tensor]
) -> Callable[[Sequence[Tensor]], tuple[Tensor, ...]]:
    """Products of the Hessian of ``number`` with vectors: a graph, kept as long as the function.

    Differentiating the gradient again costs about 2.3 gradients a vector, and no memory that
    would grow with their number.

    Args:
        number: A scalar made of ``inputs``.
        inputs: Tensors that require gradients.

    Returns:
        From a vector, in pieces of the inputs' shapes, to the product in such pieces. It raises
        ``NotApplicable`` where torch has no second derivative of an operation.
    """
    slopes: tuple[Tensor, ...] = ()
    if number.requires_grad:
        slopes = torch.autograd.grad(number, inputs, create_graph=True, materialize_grads=True)
    # A slope that depends on nothing is a constant to autograd, which refuses to differentiate it.
    curved = [place for place, slope in enumerate(slopes) if slope.requires_grad]

    def apply(vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not curved:
            return tuple(map(torch.zeros_like, inputs))
        try:
            return torch.autograd.grad(
                [slopes[place] for place in curved],
                inputs,
                [vector[place] for place in curved],
                retain_graph=True,
                materialize_grads=True,
            )
        except RuntimeError as error:
            if not any(words in str(error) for words in ONLY_ONCE):
                raise
            raise NotApplicable(f"because torch cannot differentiate it twice: {error}") from error

    return apply


def signs(shape: torch.Size, stream: torch.Generator) -> Tensor:
    """A Rademacher probe, -1 or 1 in each place, float32 on the CPU."""
    return torch.randint(0, 2, shape, generator=stream).float().mul_(2).sub_(1)


@dataclass(frozen=True, eq=False)
class Weights:
    """A private copy of a network, its parameters in one vector of length P.

    Attributes:
        network: The copy; every floating-point parameter is differentiated, frozen ones too.
        parameters: They by name.
        values: They in one vector [P].
        alive: Which are no pruned weights: all but the zeros of conv and linear weights [P].
    """

    network: nn.Module
    parameters: Mapping[str, nn.Parameter]
    values: Tensor
    alive: Tensor

    @classmethod
    def of(cls, model: nn.Module) -> Weights:
        """Of a network, which is left as it is.

        Raises:
            UserError: Its conv and linear weights are no plain parameters, or there are none.
        """
        network = private_copy(model)
        masks = Masks.alive(network)
        network.requires_grad_()
        named = dict(network.named_parameters())
        alive = [
            (masks[n].to(p.device) if n in masks else torch.ones_like(p, dtype=torch.bool)).ravel()
            for n, p in named.items()
        ]
        values = [p.detach().ravel() for p in named.values()]
        return cls(network, named, torch.cat(values), torch.cat(alive))

    def products(self, images: Images, count: int) -> Callable[[Tensor], Tensor]:
        """Products [P] -> [P] with the Hessian of the cross-entropy's sum, divided by ``count``."""
        inputs, labels = shown(self.network, images)
        leaves = list(self.parameters.values())
        loss = cross_entropy(self.network(inputs), labels, reduction="sum") / count
        pieces, sizes = products(loss, leaves), [leaf.numel() for leaf in leaves]

        def apply(vector: Tensor) -> Tensor:
            parts = zip(torch.split(vector, sizes), leaves, strict=True)
            found = pieces([part.view_as(leaf) for part, leaf in parts])
            return torch.cat([piece.reshape(-1) for piece in found])

        return apply

    def probe(self, *purpose: str | int) -> Tensor:
        """Signs [P] by the names of the parameters."""
        drawn = [
            signs(p.shape, torch_stream(0, *purpose, name)).ravel()
            for name, p in self.parameters.items()
        ]
        return torch.cat(drawn).to(self.values)


def by_blocks(
    weights: Weights,
    images: Images,
    *,
    batch_size: int,
    directions: Callable[[int], Iterator[Sequence[Tensor]]],
) -> np.ndarray:
    """Values of v'Hv for several v of each block of images, H of the block's share of the loss.

    Args:
        weights: Of the network.
        images: All of them.
        batch_size: At most so many in one graph.
        directions: From a block's number to its probes, each of them S directions [P].

    Returns:
        float64 [blocks, probes, S]; the mean over blocks is that of the Hessian of all images.
    """
    found = []
    dealt = blocks(images.labels.cpu().numpy())
    for block, rows in enumerate(dealt):
        total: np.ndarray | float = 0.0
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            # The mean over blocks is over all images, though one block may have more of them.
            own = _quadratics(weights, images, some, directions(block))
            total = total + len(dealt) * own
        found.append(total)
    return np.stack(found)


def _quadratics(
    weights: Weights, images: Images, rows: np.ndarray, probes: Iterator[Sequence[Tensor]]
) -> np.ndarray:
    """Of each probe's directions [probes, S]; the graph of these rows ends with the call."""
    with derivatives(weights.network):
        apply = weights.products(images.take(rows), len(images))
        return np.array([[_quadratic(apply, v) for v in probe] for probe in probes])


def _quadratic(apply: Callable[[Tensor], Tensor], vector: Tensor) -> float:
    """v'Hv, added up in float64, a part at a time; nothing is computed for a vector of zeros."""
    if not vector.any():
        return 0.0
    parts = zip(torch.split(vector, PART), torch.split(apply(vector), PART), strict=True)
    return sum(float((one.double() * other.double()).sum()) for one, other in parts)


def block_reading(
    values: np.ndarray, images: int, parts: Mapping[str, Part] | None = None
) -> Reading:
    """The mean over blocks [B], with the error that their spread says and common resamples.

    The blocks share neither images nor probes, so their spread holds the errors of both.
    """
    value, count = float(values.mean()), len(values)
    drawn = np.array([values[index].mean() for index in resamples([count])])
    # Resampling B things underestimates the variance by (B - 1)/B.
    replicates = value + (drawn - value) * np.sqrt(count / (count - 1))
    spread = float(replicates.std(ddof=1))
    return Reading(value, spread, images, parts=dict(parts or {}), replicates=replicates)


def block_part(values: np.ndarray, images: int) -> Part:
    """The mean over blocks [B] and its error."""
    return Part(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), images)
