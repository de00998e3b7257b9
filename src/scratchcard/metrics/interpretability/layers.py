"""What the units of a layer answer at every place of an image."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.metrics.interpretability.gathered import gathered
from scratchcard.probe import (
    batches,
    check_logits,
    check_no_probabilities,
    device_of,
    floats,
)
from scratchcard.registry import did_you_mean

EXTRA = 8
"""Tokens that may stand before those of the patches: of the class, of teachers, registers."""


@dataclass(frozen=True)
class Grid:
    """The places that a layer answers for: channels [B, U, h, w], or tokens [B, T, U].

    Attributes:
        size: Their rows and columns.
        extra: Tokens before those of the places; None for channels.
    """

    size: tuple[int, int]
    extra: int | None = None

    @classmethod
    def of(cls, answer: Any, image: tuple[int, int]) -> Grid | None:
        """Of what a layer answers to images of this height and width; None if it is no map.

        Tokens are laid on the finest grid of square patches that there are enough of.

        >>> Grid.of(torch.zeros(2, 5, 16), (8, 8))
        Grid(size=(2, 2), extra=1)
        """
        if not isinstance(answer, Tensor) or not answer.is_floating_point():
            return None
        if answer.ndim == 4:
            return cls((answer.shape[2], answer.shape[3]))
        if answer.ndim != 3:
            return None
        height, width = image
        for patch in range(1, min(image) + 1):
            if height % patch or width % patch:
                continue
            size = height // patch, width // patch
            extra = answer.shape[1] - size[0] * size[1]
            if extra >= 0:
                return cls(size, extra) if extra <= EXTRA else None
        return None

    def maps(self, answer: Tensor) -> Tensor:
        """What a layer answered, as [B, U, h, w]."""
        if self.extra is None:
            return answer
        places = answer[:, self.extra :].transpose(1, 2)
        return places.reshape(*places.shape[:2], *self.size)


def activations(
    model: nn.Module,
    pixels: Tensor,
    *,
    layer: str = "",
    batch_size: int = 64,
    checked: bool = True,
) -> tuple[str, np.ndarray]:
    """What every unit of a layer answers at every place of every image.

    Args:
        model: The network; a copy of it in evaluation mode is looked at.
        pixels: uint8, or float in [0, 1], [N, C, H, W].
        layer: A module by its name in the network; the last one with more than one place if empty.
            Of a module that is called several times, the last call counts.
        batch_size: Images per forward pass.
        checked: Whether the network's answers must be logits, and finite.

    Returns:
        The layer's name, and float32 [U, N, h, w], in a file if it is large (``gathered``).

    Raises:
        NotApplicable: No layer has more than one place.
        UserError: There is no such layer, the network returns no logits, or there is no room for
            its activations.
        ValueError: A logit is not a finite number.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    place, image = device_of(network), (int(pixels.shape[2]), int(pixels.shape[3]))
    grids: dict[str, Grid | None] = {}
    modules = {name: module for name, module in network.named_modules() if name}
    with _told(modules, partial(_note_grid, grids, image)), torch.inference_mode():
        check_logits(network(floats(pixels[:2].to(place))), len(pixels[:2]))
    name, grid = _chosen(layer, {n: g for n, g in grids.items() if g is not None})
    answers: dict[str, Tensor] = {}
    logits: list[Tensor] = []

    def found() -> Iterator[np.ndarray]:
        for batch in batches(pixels, batch_size, place):
            logits.append(check_logits(network(batch), len(batch)).float().cpu())
            yield grid.maps(answers[name]).float().cpu().numpy()

    with _told({name: modules[name]}, answers.__setitem__), torch.inference_mode():
        maps = gathered(found(), len(pixels))
    if checked:
        _check(torch.cat(logits))
    return name, maps


def _check(logits: Tensor) -> None:
    check_no_probabilities(logits)
    if not logits.isfinite().all():
        raise ValueError("some logits are infinite or not a number")


def _chosen(layer: str, grids: dict[str, Grid]) -> tuple[str, Grid]:
    """The layer that is named, or the last with places to tell apart."""
    if layer:
        if layer not in grids:
            raise UserError(
                f'the network has no layer "{layer}" that answers with maps [B, U, h, w] or '
                f"tokens [B, T, U]{did_you_mean(layer, grids)} "
                f"(the last that do: {', '.join(list(grids)[-5:]) or 'none'})"
            )
        return layer, grids[layer]
    for name, grid in reversed(grids.items()):
        if grid.size[0] * grid.size[1] > 1:
            return name, grid
    raise NotApplicable("because no layer of the network tells places in an image apart")


def _note_grid(
    grids: dict[str, Grid | None], image: tuple[int, int], name: str, answer: Any
) -> None:
    grids.pop(name, None)  # in the order of the last calls
    grids[name] = Grid.of(answer, image)


@contextmanager
def _told(modules: dict[str, nn.Module], note: Any) -> Iterator[None]:
    """Call ``note(name, answer)`` whenever one of the modules answers."""

    def tell(name: str, _: nn.Module, __: Any, answer: Any) -> None:
        # What comes after may work in place.
        note(name, answer.clone() if isinstance(answer, Tensor) else answer)

    handles = [m.register_forward_hook(partial(tell, name)) for name, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
