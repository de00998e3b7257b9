"""What a corruption is: a family, constants for five severities, and a function of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from scratchcard.contracts import NotApplicable, Task, UserError
from scratchcard.contracts.corruptions import SEVERITIES, unfit
from scratchcard.data.corruptions.draws import Draws

if TYPE_CHECKING:
    import torch

Family = Literal["noise", "blur", "weather", "digital", "extra"]
Protocol = Literal["cifar", "tiny-imagenet", "imagenet"]
C = TypeVar("C")


def protocol_of(height: int, width: int) -> Protocol:
    """Whose constants are used: those made for the nearest of 32, 64 and 224 pixels (by ratio).

    >>> protocol_of(32, 32), protocol_of(96, 96), protocol_of(128, 128)
    ('cifar', 'tiny-imagenet', 'imagenet')
    """
    side = min(height, width)
    return "cifar" if side < 46 else "tiny-imagenet" if side < 120 else "imagenet"


@dataclass(frozen=True)
class Corruption(Generic[C]):
    """One kind of natural corruption.

    The constants are those of the scripts that made CIFAR-10-C, Tiny ImageNet-C and ImageNet-C.

    Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations, ICLR 2019.

    Attributes:
        name: As the official files are called.
        family: The fifteen kinds of the first four families make up mCE; "extra" kinds are for
            tuning.
        function: Images float32 [B, C, H, W] in [0, 1], the constants of a severity and draws, to
            images; values outside [0, 1] are clipped afterwards.
        cifar: Constants of severities 1 to 5 for images of about 32 pixels.
        tiny: The same for about 64 pixels.
        imagenet: The same for about 224 pixels.
        grey: Whether it is defined on grey images.
    """

    name: str
    family: Family
    function: Callable[[torch.Tensor, C, Draws], torch.Tensor]
    cifar: tuple[C, C, C, C, C]
    tiny: tuple[C, C, C, C, C]
    imagenet: tuple[C, C, C, C, C]
    grey: bool = True

    @property
    def standard(self) -> bool:
        """Whether it is one of the fifteen."""
        return self.family != "extra"

    def constants(self, severity: int, protocol: Protocol) -> C:
        """The constants of one severity, 1 to 5."""
        if severity not in SEVERITIES:
            raise UserError(f"severity = {severity}, but must be a whole number from 1 to 5")
        ladders: dict[str, tuple[C, C, C, C, C]] = {
            "cifar": self.cifar,
            "tiny-imagenet": self.tiny,
            "imagenet": self.imagenet,
        }
        if protocol not in ladders:
            raise UserError(f"protocol = {protocol!r} is none of {', '.join(ladders)}")
        return ladders[protocol][severity - 1]

    def check(self, channels: int, height: int, width: int) -> None:
        """Raise ``NotApplicable`` if such images cannot be corrupted so."""
        if why := unfit(Task(channels, height, width, classes=2)):
            raise NotApplicable(why)
        if channels == 1 and not self.grey:
            raise NotApplicable(f"{self.name} is defined for RGB images only, and these are grey")

    def __call__(
        self,
        images: torch.Tensor,
        severity: int,
        *,
        seed: int = 0,
        index: int | torch.Tensor = 0,
        protocol: Protocol | None = None,
    ) -> torch.Tensor:
        """Corrupt images; see ``corrupt``."""
        import torch

        pixels = eight_bits(images).contiguous()
        self.check(*pixels.shape[1:])
        constants = self.constants(severity, protocol or protocol_of(*pixels.shape[2:]))
        numbers = torch.as_tensor(index, device=pixels.device)
        if numbers.ndim == 0:
            numbers = numbers + torch.arange(len(pixels), device=pixels.device)
        if numbers.shape != pixels.shape[:1]:
            raise UserError(
                f"index has the shape {list(numbers.shape)}, but must be the number of the first "
                f"image or one for each of the {len(pixels)} images"
            )
        draws = Draws.of(self.name, seed, numbers.to(torch.int64))
        out = torch.empty_like(pixels)
        # Pieces that stay in the processor's cache are nearly twice as fast as whole batches.
        size = max(
            1, (2**17 if pixels.device.type == "cpu" else 2**26) // math.prod(pixels.shape[1:])
        )
        for first in range(0, len(pixels), size):
            rows = slice(first, first + size)
            corrupted = self.function(pixels[rows].float() / 255, constants, draws[rows])
            out[rows] = floor_levels(corrupted.clamp(0, 1)).to(torch.uint8)
        return out


def eight_bits(images: torch.Tensor) -> torch.Tensor:
    """Images uint8 [B, C, H, W] from uint8, or from float in [0, 1] by rounding."""
    import torch

    if images.ndim != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise UserError(
            f"images are {images.dtype} {list(images.shape)}, but must be uint8, or float in "
            "[0, 1], [B, C, H, W]"
        )
    if images.dtype == torch.uint8:
        return images
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise UserError(
            "images hold values outside [0, 1] or NaN; give pixels as they are before the "
            "model's normalisation"
        )
    return (images * 255).round().to(torch.uint8)


def floor_levels(x: torch.Tensor) -> torch.Tensor:
    """The level 0 to 255 below each value of [0, 1]: official images are truncated, not rounded.

    The thousandth keeps on a level what float32 puts just below it, such as a blurred flat image;
    it moves one value in a thousand.
    """
    return (x * 255 + 1e-3).floor()


Kind = Corruption[Any]
"""A corruption with whatever constants."""
