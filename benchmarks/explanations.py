"""LIME against lime and captum, at equal perturbations, on photographs of 32 and 224 pixels.

Prints a Markdown table: seconds of processor time per image on one thread, medians of rounds
in turn. The networks have their initial weights: time does not depend on them. With the argument
"oracle" it writes what lime, captum and scikit-image answer on small fixed inputs to
tests/metrics/interpretability/lime.npz instead. Beside what is in peers.txt it needs, again with
--no-deps, lime 0.2.0.1, captum 0.9.0, matplotlib and networkx.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from captum.attr import LimeBase as CaptumBase
from captum.attr._core.lime import get_exp_kernel_similarity_function
from lime.lime_base import LimeBase
from lime.lime_image import LimeImageExplainer
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.segmentation import felzenszwalb
from sklearn.datasets import load_sample_images
from sklearn.metrics import pairwise_distances
from torch import nn

from scratchcard import models
from scratchcard.contracts import Task
from scratchcard.data.base import Images
from scratchcard.metrics.interpretability.fidelity import fidelity
from scratchcard.metrics.interpretability.occlusion import Occluded, occlude, target_of
from scratchcard.metrics.interpretability.segments import segments
from scratchcard.metrics.interpretability.stability import stability

MASKS, ROUNDS = {32: 1000, 224: 200}, {32: 3, 224: 1}
BATCH, REPEATS = 64, 5
NETWORKS: dict[int, tuple[str, dict[str, Any]]] = {
    32: ("cifar-resnet", {"depth": 20}),
    224: ("resnet", {"depth": 18, "stem_width": 32, "widths": (32, 64, 128, 256)}),
}
KERNEL_WIDTH = 0.25
FILE = Path(__file__).parents[1] / "tests/metrics/interpretability/lime.npz"


def main() -> None:
    """Time everybody in turn, at both sizes."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, 1 thread, two photographs\n")
    print("| pixels, masks | what | by | s per image | against ours |")
    print("|---|---|---|---:|---:|")
    for side, (kind, options) in NETWORKS.items():
        model = models.build(kind, Task(3, side, side, 10), options, seed=0).eval()
        for what, runs in contests(model, photographs(side), MASKS[side]).items():
            rounds = [{who: timed(run) for who, run in runs.items()} for _ in range(ROUNDS[side])]
            spent = {who: median(one[who] for one in rounds) / 2 for who in runs}
            for who, seconds in spent.items():
                cells = (f"{side}, {MASKS[side]}", what, who, f"{seconds:.3f}")
                print(f"| {' | '.join(cells)} | {seconds / spent['ours']:.2f} |", flush=True)


def photographs(side: int) -> Images:
    """The two that scikit-learn brings, small."""
    small = [
        np.asarray(Image.fromarray(photograph).resize((side, side), Image.Resampling.BOX))
        for photograph in load_sample_images().images
    ]
    pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.arange(2))


def contests(model: nn.Module, test: Images, count: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """What is timed, by whom, with so many masks."""
    ours = target_of(model, test, 0)
    shown = test.floats()[torch.arange(2 * count) % 2]

    def passes(network: nn.Module, batch_size: int) -> None:
        with torch.inference_mode():
            for batch in shown.split(batch_size):
                network(batch)

    def answered() -> Occluded:
        return occlude(model, test, images=0, masks=count)

    def both(answers: Occluded) -> None:
        fidelity(answers)
        stability(answers, test, repeats=REPEATS)

    def lime(batch: int, repeats: int = 0) -> Callable[[], None]:
        return lambda: by_lime(model, test, count, batch, repeats)

    return {
        "forward passes of all masks": {
            "ours": lambda: passes(ours.network, ours.batch_size),
            f"ours in batches of {BATCH}": lambda: passes(ours.network, BATCH),
            "the network as it is": lambda: passes(model, BATCH),
        },
        "segments": {
            "ours": lambda: segments(test.pixels),
            "scikit-image": lambda: [superpixels(image) for image in arrays(test)],
        },
        "fidelity": {
            "ours": lambda: fidelity(answered()),
            f"lime, batches of {BATCH}": lime(BATCH),
            "lime, its own batch of 10": lime(10),
            f"captum, batches of {BATCH}": lambda: by_captum(model, test, count, BATCH),
            "captum, its own batch of 1": lambda: by_captum(model, test, count, 1),
        },
        "fidelity and stability": {
            "ours": lambda: both(answered()),
            f"lime, batches of {BATCH}": lime(BATCH, REPEATS),
            "lime, its own batch of 10": lime(10, REPEATS),
            f"captum, an explanation each, batches of {BATCH}": lambda: [
                by_captum(model, test, count, BATCH) for _ in range(2)
            ],
        },
    }


def by_lime(model: nn.Module, test: Images, count: int, batch: int, repeats: int) -> None:
    """Explanations of lime; repeats centre them on other masks, as the paper does."""

    def answers(images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            return np.asarray(model(x).softmax(dim=1))

    explainer = LimeImageExplainer(kernel_width=KERNEL_WIDTH, verbose=False, random_state=0)
    for image in arrays(test):
        parts = superpixels(image)
        black = np.zeros_like(image)
        masks, p = explainer.data_labels(image, black, parts, answers, count, batch)
        top = int(p[0].argmax())
        for centre in range(1 + repeats):
            distances = pairwise_distances(masks, masks[centre : centre + 1], metric="cosine")
            explainer.base.explain_instance_with_data(
                masks, p, distances.ravel(), top, masks.shape[1], feature_selection="none"
            )


def by_captum(model: nn.Module, test: Images, count: int, batch: int) -> None:
    """Explanations of captum with a kernel of the same form and ridge regression."""
    explainer = Lime(
        lambda x: model(x).softmax(dim=1),
        interpretable_model=SkLearnRidge(alpha=1.0),
        similarity_func=get_exp_kernel_similarity_function("cosine", KERNEL_WIDTH),
    )
    parts = segments(test.pixels)
    for image, own in zip(test.floats(), parts, strict=True):
        with torch.no_grad():
            top = int(model(image[None]).argmax())
        explainer.attribute(
            image[None],
            target=top,
            feature_mask=own[None, None],
            n_samples=count,
            perturbations_per_eval=batch,
        )


def oracle() -> None:
    """Segments by scikit-image and explanations by lime, kept for the tests."""
    stream = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for i, shape in enumerate([(32, 32)] * 4 + [(40, 52)] * 2 + [(64, 64)]):
        rough = stream.normal(size=(*shape, 3))
        smooth = (
            gaussian_filter(rough, (2.5, 2.5, 0)) * 9 + stream.normal(size=shape)[..., None] / 4
        )
        image = np.clip(128 + 50 * smooth, 0, 255).astype(np.uint8)
        found[f"picture {i}"] = image.transpose(2, 0, 1)
        found[f"segments {i}"] = superpixels(image).astype(np.uint8)
    masks = (stream.random((80, 11)) < 0.5).astype(float)
    masks[0] = 1
    slopes = stream.normal(size=11)
    answers = 1 / (1 + np.exp(-masks @ slopes))
    found |= {"masks": masks, "answers": answers}
    base = LimeBase(near)
    for centre in (0, 7):
        apart = pairwise_distances(masks, masks[centre : centre + 1], metric="cosine").ravel()
        intercept, pairs, score, _ = base.explain_instance_with_data(
            masks, answers[:, None], apart, 0, 11, feature_selection="none"
        )
        found[f"coefficients {centre}"] = np.array([value for _, value in sorted(pairs)])
        found[f"intercept {centre}"], found[f"score {centre}"] = intercept, score
    found["coefficients of captum"] = attributed(masks, slopes)
    np.savez_compressed(FILE, **found)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


def near(distance: Any) -> Any:
    """The weight of a mask at a distance from the one that a fit is centred on."""
    return np.sqrt(np.exp(-(distance**2) / KERNEL_WIDTH**2))


def attributed(masks: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Captum's coefficients for a sigmoid's answers to masks, of which the first keeps all."""
    rows = iter(torch.from_numpy(masks))
    explainer = CaptumBase(
        lambda z: torch.sigmoid(z @ torch.from_numpy(slopes)),
        SkLearnRidge(alpha=1.0),
        lambda _, __, z, **___: torch.tensor(near(1 - float(z.mean()) ** 0.5)),  # its cosine
        lambda *_, **__: next(rows)[None],
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda z, *_, **__: z,
        to_interp_rep_transform=None,
    )
    return np.asarray(explainer.attribute(torch.from_numpy(masks[:1]), n_samples=len(masks)))[0]


def superpixels(image: np.ndarray) -> np.ndarray:
    """Those of scikit-image for an image [H, W, 3], with the constants of segments.py."""
    share = image.shape[0] * image.shape[1] / 1024
    side = max(1.0, share**0.5)
    smallest = max(4, round(20 * share))
    return np.asarray(felzenszwalb(image, scale=10 * side, sigma=0.4 * side, min_size=smallest))


def arrays(test: Images) -> list[np.ndarray]:
    """Images as lime takes them, uint8 [H, W, C]."""
    return [image.permute(1, 2, 0).numpy() for image in test.pixels]


def timed(run: Callable[[], Any]) -> float:
    """Seconds of processor time."""
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    oracle() if sys.argv[1:] == ["oracle"] else main()
