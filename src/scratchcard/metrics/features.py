"""Penultimate features: what the last layer of a network reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable
from scratchcard.probe import batches, device_of, floats, inference_copy


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network, frozen, of which only what its last layer reads is wanted.

    Attributes:
        network: A fast copy in evaluation mode.
        head: Its last layer: Linear, and what it answers is the network's answer.
    """

    network: nn.Module
    head: nn.Linear

    @classmethod
    def of(cls, model: nn.Module, pixels: Tensor) -> Backbone:
        """Find the last layer by showing the network the first eight images.

        The answer may differ from the layer's by a common factor (a temperature) and by a number
        for each image (log-softmax): neither changes what is read.

        Args:
            model: The network; it is left as it is.
            pixels: uint8, or float in [0, 1], [N, C, H, W].

        Raises:
            NotApplicable: The answer is that of no Linear layer.
            UserError: The network returns no logits.
            ValueError: A logit is not a finite number.
        """
        shown = floats(pixels[:8].to(device_of(model)))
        network = inference_copy(model, shown)
        layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear)}
        with _watched(layers) as seen, torch.inference_mode():
            logits = network(shown)
        if not logits.isfinite().all():
            raise ValueError("some logits are infinite or not a number")
        for name, (_, answer) in reversed(seen.items()):
            if answer.shape == logits.shape and _alike(answer, logits):
                return cls(network, layers[name])
        raise NotApplicable(
            "what the network answers is not the output of a Linear layer, so it has no "
            "penultimate features"
        )

    def features(self, pixels: Tensor, *, batch_size: int = 512) -> np.ndarray:
        """What the last layer reads of every image, float32 [N, D].

        Raises:
            ValueError: A feature is not a finite number.
        """
        found = []
        with _watched({"head": self.head}) as seen, torch.inference_mode():
            for batch in batches(pixels, batch_size, device_of(self.network)):
                self.network(batch)
                found.append(seen["head"][0].float().cpu())
        features = torch.cat(found).numpy()
        if not np.isfinite(features).all():
            raise ValueError("some penultimate features are infinite or not a number")
        return features


def _alike(answer: Tensor, logits: Tensor) -> bool:
    """Whether the logits are the layer's answer but for a factor, and a number for each row."""
    x, y = (z.double() - z.double().mean(dim=1, keepdim=True) for z in (answer, logits))
    square = (x * x).sum()
    factor = (x * y).sum() / square if square > 0 else 0.0
    return bool((y - factor * x).norm() <= 1e-5 * y.norm())


@contextmanager
def _watched(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """The last input and output of each layer that is called, in the order of these calls."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Tensor, ...], answer: Tensor) -> None:
        seen.pop(name, None)
        seen[name] = inputs[0], answer

    handles = [layer.register_forward_hook(partial(note, name)) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
