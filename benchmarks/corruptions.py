"""How long natural corruptions take, batched, against imagecorruptions-imaug image by image.

Prints a Markdown table; both with ImageNet-C's constants, in microseconds of processor time an
image, the mean over severities 1 to 5, each the median of rounds in turn on one thread.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import version
from statistics import median

import cv2
import imagecorruptions
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from scratchcard.data.corruptions import CORRUPTIONS, EXTRA, SEVERITIES, STANDARD, corrupt

ROUNDS = 5
SIZES = {32: (256, 16), 224: (4, 2)}
"""Side of the images to how many ours gets at once, and how many the library gets one by one."""
LIBRARIES = ("torch", "imagecorruptions-imaug", "numba", "opencv-python-headless", "scikit-image")
Pair = tuple[float, float]


def main() -> None:
    """Time every kind at both sizes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES) + ", 1 thread\n")
    sides = " | ".join(f"imaug, {s}x{s} | ours | ratio" for s in SIZES)
    print(f"| corruption | {sides} |\n|---|" + "---:|" * 3 * len(SIZES))
    times = {side: {kind: race(kind, *sample(side)) for kind in CORRUPTIONS} for side in SIZES}
    for kind in CORRUPTIONS:
        print(f"| {kind} | {cells(times[side][kind] for side in SIZES)} |")
    groups = {
        "the 15 standard kinds": STANDARD,
        "... without frost": tuple(kind for kind in STANDARD if kind != "frost"),
        "the 4 extra kinds": EXTRA,
    }
    for name, kinds in groups.items():
        print(f"| **{name}** | {cells(mean(times[side], kinds) for side in SIZES)} |")
    print("\n| floor, us an image | 32x32 | 224x224 |\n|---|---:|---:|")
    for name, run in FLOORS.items():
        print(f"| {name} | {' | '.join(f'{floor(run, side):.0f}' for side in SIZES)} |")


def numbers(picture: np.ndarray) -> None:
    """What Gaussian noise cannot do without."""
    np.random.default_rng(0).standard_normal(picture.shape, np.float32)


def poisson(picture: np.ndarray) -> None:
    """What shot noise cannot do without."""
    np.random.default_rng(0).poisson(picture / 20)


def jpeg(picture: np.ndarray) -> None:
    """Written and read."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=15)
    Image.open(file).load()


def filtered(picture: np.ndarray) -> None:
    """A lens out of focus, by OpenCV."""
    kernel = np.ones((13, 13), np.float32) / 169
    for channel in range(3):
        cv2.filter2D(picture[..., channel].astype(np.float32), -1, kernel)


FLOORS: dict[str, Callable[[np.ndarray], object]] = {
    "normal numbers of NumPy": numbers,
    "Poisson numbers of NumPy": poisson,
    "JPEG by Pillow": jpeg,
    "a filter of 13x13 by OpenCV": filtered,
}


def floor(run: Callable[[np.ndarray], object], side: int) -> float:
    """Microseconds of the part that any implementation has, by a library in C."""
    _, pictures = sample(side)
    return median(spent(lambda: [run(p) for p in pictures]) for _ in range(21)) / len(pictures)


def sample(side: int) -> tuple[torch.Tensor, np.ndarray]:
    """Smooth pictures with some grain: uint8 [B, 3, side, side], and a few [side, side, 3]."""
    ours, theirs = SIZES[side]
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(ours, 3, 6, 6, generator=generator)
    picture = interpolate(coarse, (side, side), mode="bicubic")
    grain = 0.03 * torch.randn(picture.shape, generator=generator)
    pixels = ((picture + grain).clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels, np.ascontiguousarray(pixels[:theirs].permute(0, 2, 3, 1).numpy())


def race(kind: str, pixels: torch.Tensor, pictures: np.ndarray) -> Pair:
    """Microseconds an image of the library and of ours, over all severities."""

    def theirs() -> None:
        np.random.seed(0)
        for severity in SEVERITIES:
            for picture in pictures:
                imagecorruptions.corrupt(picture, severity, kind)

    def ours() -> None:
        for severity in SEVERITIES:
            corrupt(pixels, kind, severity, protocol="imagenet")

    with redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):  # the library complains
        theirs()  # numba compiles
        ours()
        rounds = [(spent(theirs) / len(pictures), spent(ours) / len(pixels)) for _ in range(ROUNDS)]
    slow, fast = (median(column) / len(SEVERITIES) for column in zip(*rounds, strict=True))
    return slow, fast


def spent(run: Callable[[], object]) -> float:
    """Microseconds of processor time."""
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e6


def mean(times: dict[str, Pair], kinds: tuple[str, ...]) -> Pair:
    """Over kinds, of either."""
    slow, fast = (
        sum(column) / len(kinds) for column in zip(*(times[kind] for kind in kinds), strict=True)
    )
    return slow, fast


def cells(pairs: Iterator[Pair]) -> str:
    """Both times and their ratio, for every size."""
    return " | ".join(f"{slow:.0f} | {fast:.0f} | {slow / fast:.1f}" for slow, fast in pairs)


if __name__ == "__main__":
    main()
