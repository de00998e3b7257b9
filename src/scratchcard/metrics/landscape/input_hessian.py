"""Hessians of the loss by the pixels of each image, exactly where the logits are piecewise linear.

In evaluation mode no image sees another, so the Hessian of a batch falls apart into theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.data.base import Images
from scratchcard.metrics.landscape.hessian import (
    derivatives,
    private_copy,
    products,
    shown,
    signs,
)
from scratchcard.metrics.landscape.piecewise import piecewise_linear
from scratchcard.probe import inference_copy
from scratchcard.seeds import torch_stream

HELD = 2**25
"""At most so many numbers of a batch's vectors are held at once: 128 MiB in float32."""


@dataclass(frozen=True, eq=False)
class InputHessians:
    """A network and the images of which the Hessians are wanted.

    Attributes:
        network: A fast private copy.
        images: All of them.
        exact: Whether ``factors`` gives the Hessians: the logits are piecewise linear, of few
            enough classes.
        batch_size: Images per step.
    """

    network: nn.Module
    images: Images
    exact: bool
    batch_size: int

    @classmethod
    def of(
        cls,
        model: nn.Module,
        images: Images,
        *,
        batch_size: int,
        exact_classes: int,
        vectors: int = 1,
    ) -> InputHessians:
        """Of a network, which is left as it is.

        Args:
            model: The network.
            images: All of them; on the first eight the network is tried.
            batch_size: Images per step at most.
            exact_classes: Networks of more classes do not take the exact way.
            vectors: Of the size of an image, that the general way holds for each; the exact way
                holds one for each class.
        """
        plain = private_copy(model)
        with derivatives(plain):
            some, _ = shown(plain, images.take(torch.arange(min(8, len(images)))))
            network = inference_copy(plain, some)
            answer = network(some.requires_grad_().clone())
        classes = answer.shape[1]
        exact = classes <= exact_classes and piecewise_linear(answer)
        fitting = HELD // ((classes if exact else vectors) * some[0].numel())
        return cls(network, images, exact, max(1, min(batch_size, fitting)))

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Places of the images among all, their pixels and their labels."""
        for rows in torch.split(torch.arange(len(self.images)), self.batch_size):
            yield rows, *shown(self.network, self.images.take(rows))

    def loss(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The summed cross-entropy of images, and the leaf that it depends on."""
        leaf = inputs.detach().requires_grad_()
        # A clone, for a network may normalise its input in place.
        return cross_entropy(self.network(leaf.clone()), labels, reduction="sum"), leaf

    def slopes(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The gradient of each image's loss [B, D]."""
        loss, leaf = self.loss(inputs, labels)
        if not loss.requires_grad:
            return torch.zeros_like(inputs).flatten(1)
        return torch.autograd.grad(loss, leaf, materialize_grads=True)[0].flatten(1)

    def products(self, inputs: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """Products [B, D] -> [B, D] of vectors with each image's Hessian."""
        loss, leaf = self.loss(inputs, labels)
        apply = products(loss, [leaf])
        return lambda vectors: apply([vectors.view_as(leaf)])[0].flatten(1)


def factors(network: nn.Module, inputs: Tensor) -> Tensor:
    """Rows f_k [B, K, D] with H = sum_k f_k f_k' for each image, if logits are piecewise linear.

    diag p - pp' = M M' with columns sqrt(p_k) (e_k - p) of M, so K backward passes give
    f_k = J'M_k. The label does not matter.

    Raises:
        ValueError: The logits of these images are not.
    """
    leaf = inputs.detach().requires_grad_()
    answer = network(leaf.clone())
    if not piecewise_linear(answer):
        raise ValueError(
            "the network is piecewise linear for some images and not for others: exact_classes=0 "
            "takes the general way for all"
        )
    # In float64: where the network is certain, e_k - p is a small difference.
    p = answer.detach().double().softmax(dim=1)
    found = []
    for k in range(answer.shape[1] if answer.requires_grad else 0):
        column = -p
        # 1 - p_k from the others, lest it vanish.
        column[:, k] = p[:, :k].sum(dim=1) + p[:, k + 1 :].sum(dim=1)
        column = column * p[:, k : k + 1].sqrt()
        (row,) = torch.autograd.grad(answer, leaf, column.to(answer), retain_graph=True)
        found.append(row.flatten(1))
    return torch.stack(found or [torch.zeros_like(leaf).flatten(1)], dim=1)


def image_probes(rows: Tensor, shape: torch.Size, purpose: str) -> Iterator[Tensor]:
    """One probe [B, D] after the other, each image's by its place in the sample alone."""
    streams = [torch_stream(0, purpose, int(row)) for row in rows]
    while True:
        yield torch.stack([signs(shape, stream).ravel() for stream in streams])
