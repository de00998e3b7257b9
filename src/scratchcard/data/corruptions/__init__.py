"""Natural corruptions: fifteen standard kinds in four families and four more, at five severities.

Sets made here follow the CIFAR-C protocol; they are not CIFAR-10-C, whose files are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from scratchcard.contracts import UserError
from scratchcard.contracts.corruptions import EXTRA, FAMILIES, SEVERITIES, STANDARD
from scratchcard.data.corruptions.base import (
    Corruption,
    Kind,
    Protocol,
    protocol_of,
)
from scratchcard.data.corruptions.colour import BRIGHTNESS, CONTRAST, SATURATE
from scratchcard.data.corruptions.compression import JPEG_COMPRESSION, PIXELATE
from scratchcard.data.corruptions.elastic import ELASTIC_TRANSFORM
from scratchcard.data.corruptions.fog import FOG
from scratchcard.data.corruptions.frost import FROST
from scratchcard.data.corruptions.glass import GLASS_BLUR
from scratchcard.data.corruptions.motion import MOTION_BLUR
from scratchcard.data.corruptions.noise import (
    GAUSSIAN_NOISE,
    IMPULSE_NOISE,
    SHOT_NOISE,
    SPECKLE_NOISE,
)
from scratchcard.data.corruptions.official import cifar_c, imagenet_c, official
from scratchcard.data.corruptions.smooth import DEFOCUS_BLUR, GAUSSIAN_BLUR, ZOOM_BLUR
from scratchcard.data.corruptions.snow import SNOW
from scratchcard.data.corruptions.spatter import SPATTER
from scratchcard.registry import did_you_mean

if TYPE_CHECKING:
    import torch

__all__ = [
    "CORRUPTIONS",
    "EXTRA",
    "FAMILIES",
    "SEVERITIES",
    "STANDARD",
    "Corruption",
    "Protocol",
    "cifar_c",
    "corrupt",
    "imagenet_c",
    "official",
    "protocol_of",
]

_ALL: tuple[Kind, ...] = (
    *(GAUSSIAN_NOISE, SHOT_NOISE, IMPULSE_NOISE),
    *(DEFOCUS_BLUR, GLASS_BLUR, MOTION_BLUR, ZOOM_BLUR),
    *(SNOW, FROST, FOG, BRIGHTNESS),
    *(CONTRAST, ELASTIC_TRANSFORM, PIXELATE, JPEG_COMPRESSION),
    *(SPECKLE_NOISE, GAUSSIAN_BLUR, SPATTER, SATURATE),
)
CORRUPTIONS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind by name, in the usual order."""
assert tuple(CORRUPTIONS) == STANDARD + EXTRA, "contracts and constants name the same kinds"


def corrupt(
    images: torch.Tensor,
    kind: str,
    severity: int,
    *,
    seed: int = 0,
    index: int | torch.Tensor = 0,
    protocol: Protocol | None = None,
) -> torch.Tensor:
    """Corrupted images, truncated to 8 bits as the official ones are.

    An image's randomness depends on (seed, kind, its number) only, so neither batches nor their
    order matter, and the severities of one image share their draws. Another kind of device may
    differ by one level in few pixels.

    Args:
        images: uint8, or float in [0, 1] (rounded to 8 bits first), [B, C, H, W].
        kind: A name of ``CORRUPTIONS``.
        severity: 1 to 5.
        seed: Of the set.
        index: Number of the first image in its set, or one for each image, int64 [B].
        protocol: Whose constants to use; by default those made for about that size (see
            ``protocol_of``).

    Returns:
        uint8 [B, C, H, W] on the same device.

    Raises:
        NotApplicable: For images below 28 pixels, of other than 1 or 3 channels, or grey where the
            kind is about colour.
        UserError: For an unknown kind or severity, or values outside [0, 1].
    """
    if kind not in CORRUPTIONS:
        raise UserError(
            f'there is no corruption "{kind}"{did_you_mean(kind, CORRUPTIONS)} '
            f"(known: {', '.join(CORRUPTIONS)})"
        )
    return CORRUPTIONS[kind](images, severity, seed=seed, index=index, protocol=protocol)
