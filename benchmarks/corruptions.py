"""How long natural corruptions take, batched, against plain loops over images.

Prints a Markdown table; one thread, 256 images of 32x32, severity 3, the best of five runs, in
microseconds an image. The loops are NumPy, SciPy and Pillow as one would first write them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from scratchcard.data.corruptions import CORRUPTIONS, corrupt

BATCH, SEVERITY, RUNS = 256, 3, 5
Plain = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""One image [32, 32, 3] in [0, 1] to another."""


def gaussian_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal numbers of NumPy."""
    return x + rng.normal(0, 0.08, x.shape)


def shot_noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers of NumPy."""
    return rng.poisson(x * 100) / 100


def glass_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The loop over pixels."""
    x = np.floor(ndimage.gaussian_filter(x, (0.4, 0.4, 0), mode="nearest") * 255) / 255
    for h in range(31, 1, -1):
        for w in range(31, 1, -1):
            dy, dx = rng.integers(-1, 1, 2)
            x[h, w] = x[h + dy, w + dx]
    blurred: np.ndarray = ndimage.gaussian_filter(x, (0.4, 0.4, 0), mode="nearest")
    return blurred


def motion_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted copies."""
    angle = math.radians(rng.uniform(-45, 45))
    weights = np.exp(-(np.arange(13) ** 2) / 8)
    padded, out = np.pad(x, ((12, 12), (12, 12), (0, 0)), mode="edge"), np.zeros_like(x)
    for i, weight in enumerate(weights / weights.sum()):
        row = 12 + math.ceil(i * math.sin(angle) - 0.5)
        column = 12 + math.ceil(i * math.cos(angle) - 0.5)
        out += weight * padded[row : row + 32, column : column + 32]
    return out


def zoom_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SciPy's zoom."""
    out, factors = x.copy(), np.arange(1, 1.16, 0.01)
    for factor in factors:
        kept = math.ceil(32 / factor)
        top = (32 - kept) // 2
        middle = x[top : top + kept, top : top + kept]
        zoomed = ndimage.zoom(middle, (factor, factor, 1), order=1)
        trim = (len(zoomed) - 32) // 2
        out += zoomed[trim : trim + 32, trim : trim + 32]
    return out / (len(factors) + 1)


def elastic_transform(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SciPy's maps; a random matrix stands for the pull at the corners."""
    matrix = np.eye(2) + rng.uniform(-0.1, 0.1, (2, 2))
    pulled = [ndimage.affine_transform(x[..., c], matrix, order=1, mode="mirror") for c in range(3)]
    moves = [
        ndimage.gaussian_filter(rng.uniform(-1, 1, (32, 32)), 1.92, mode="reflect", truncate=3)
        for _ in range(2)
    ]
    places = np.mgrid[:32, :32] + np.stack(moves) * 2.56
    warped = [ndimage.map_coordinates(p, places, order=1, mode="reflect") for p in pulled]
    return np.stack(warped, -1)


def pixelate(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pillow's box filter."""
    image = Image.fromarray(np.uint8(np.rint(x * 255)))
    small = image.resize((27, 27), Image.Resampling.BOX)
    return np.asarray(small.resize((32, 32), Image.Resampling.BOX)) / 255


def jpeg_compression(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pillow's JPEG."""
    file = BytesIO()
    Image.fromarray(np.uint8(np.rint(x * 255))).save(file, "JPEG", quality=58)
    return np.asarray(Image.open(file)) / 255


def gaussian_blur(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SciPy's filter."""
    blurred: np.ndarray = ndimage.gaussian_filter(x, (0.7, 0.7, 0), mode="nearest")
    return blurred


PLAIN: dict[str, Plain] = {
    loop.__name__: loop
    for loop in (
        *(gaussian_noise, shot_noise, glass_blur, motion_blur, zoom_blur),
        *(elastic_transform, pixelate, jpeg_compression, gaussian_blur),
    )
}


def main() -> None:
    """Time every kind."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    print(f"torch {torch.__version__}, 1 thread, {BATCH} images of 32x32, us an image\n")
    print("| corruption | batched | loop | ratio |")
    print("|---|---:|---:|---:|")
    for kind in CORRUPTIONS:
        ours = best(partial(corrupt, images, kind, SEVERITY))
        cells = "| |"
        if kind in PLAIN:
            theirs = best(partial(loop_over, images, PLAIN[kind]))
            cells = f"{theirs:.0f} | {theirs / ours:.1f} |"
        print(f"| {kind} | {ours:.0f} | {cells}")


def loop_over(images: torch.Tensor, plain: Plain) -> np.ndarray:
    """One image after the other, to 8 bits as the official files have them."""
    rng = np.random.default_rng(0)
    pixels = images.permute(0, 2, 3, 1).numpy()
    return np.stack([np.uint8(np.clip(plain(p / 255, rng), 0, 1) * 255) for p in pixels])


def best(function: Callable[[], object]) -> float:
    """Microseconds an image of the quickest of five runs, after one that warms up."""
    function()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) / BATCH * 1e6


if __name__ == "__main__":
    main()
