"""What other libraries answer on small fixed inputs, kept for tests/metrics/test_oracles.py.

Run in the environment of peers.txt; it writes tests/metrics/oracles.npz and prints a summary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import foolbox
import imagecorruptions
import numpy as np
import torch
import torchattacks
from imagecorruptions import corruptions as pictures
from netcal.metrics import ACE, ECE
from scipy.special import logsumexp, softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)
from torch import Tensor, nn
from torchmetrics.functional import classification as tm

FILE = Path(__file__).parents[1] / "tests/metrics/oracles.npz"
LIBRARIES = (
    *("torch", "numpy", "scipy", "scikit-learn", "netcal", "torchmetrics", "foolbox"),
    *("torchattacks", "imagecorruptions-imaug", "opencv-python-headless", "scikit-image", "pillow"),
)
BINS, EPS, STEPS = 15, 8 / 255, 10
LADDER = (0.25, 0.5, 1, 2, 4, 8)
STILL = (
    *("brightness", "contrast", "saturate", "defocus_blur", "gaussian_blur", "zoom_blur"),
    *("pixelate", "jpeg_compression"),
)
NOISES = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
MOTION = {1: (10, 3), 3: (15, 8), 5: (20, 15)}
"""Radius and sigma of the library's motion blur."""
DEGREES = (30.0, -40.0)
Arrays = Iterator[tuple[str, Any]]


def main() -> None:
    """Ask every library, and keep what was asked with the answers."""
    torch.set_num_threads(1)
    found = dict([*predictions(), *faults(), *attacks(), *corruptions()])
    found["versions"] = np.array([f"{name} {version(name)}" for name in LIBRARIES])
    np.savez_compressed(FILE, **found)
    print(", ".join(found["versions"]))
    for name, value in found.items():
        shown = f"{float(value):.6f}" if np.ndim(value) == 0 else list(np.shape(value))
        print(f"{name:42} {shown}")
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


def predictions() -> Arrays:
    """Logits of three networks, and all numbers on which the libraries are right."""
    for name, n, classes, ties in (("two", 400, 2, 0), ("five", 300, 5, 2), ("ten", 500, 10, 0)):
        own, labels, foreign = draw(n, classes, scale=2.5, ties=ties)
        yield from (
            (f"{name}/logits", own),
            (f"{name}/labels", labels.astype(np.uint8)),
            (f"{name}/foreign", foreign),
        )
        yield from ((f"{name}/{key}", value) for key, value in labelled(own, labels))
        yield from ((f"{name}/{key}", value) for key, value in separated(own, foreign))


def draw(
    n: int, classes: int, *, scale: float, ties: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and flatter foreign logits; float16 holds them exactly.

    The surer half is too sure and the other not sure enough: if all were too sure, any bins would
    give the same calibration error.
    """
    stream = np.random.default_rng(classes)
    z, foreign = (stream.normal(size=(m, classes)) * s for m, s in ((n, scale), (n // 2, 1.5)))
    lead = np.ptp(np.sort(z, axis=1)[:, -2:], axis=1)
    temperature = np.where(lead > np.median(lead), 5, 0.4)
    labels = (z / temperature[:, None] + stream.gumbel(size=z.shape)).argmax(axis=1)
    if ties:
        z, foreign = (np.round(part * ties) / ties for part in (z, foreign))
    return z.astype(np.float16), labels, foreign.astype(np.float16)


def labelled(logits: np.ndarray, labels: np.ndarray) -> Arrays:
    """Accuracy, scores and calibration, of probabilities in float64."""
    classes = logits.shape[1]
    p = softmax(logits.astype(np.float64), axis=1)
    p_, y_ = torch.from_numpy(p), torch.from_numpy(labels)
    yield "accuracy/scikit-learn", accuracy_score(labels, p.argmax(axis=1))
    yield "accuracy/torchmetrics", tm.multiclass_accuracy(p_, y_, classes, average="micro")
    if classes > 5:
        top5 = tm.multiclass_accuracy(p_, y_, classes, average="micro", top_k=5)
        yield "top-5/torchmetrics", top5
    yield "nll/scikit-learn", log_loss(labels, p, labels=range(classes))
    whole = brier_score_loss(labels, p, labels=range(classes), scale_by_half=False)
    yield "brier/scikit-learn", whole
    yield "ece/torchmetrics", tm.multiclass_calibration_error(p_, y_, classes, BINS, "l1")
    # Of two classes netcal would look at the second's probability instead of the confidence.
    sure, right = p.max(axis=1), (p.argmax(axis=1) == labels).astype(int)
    yield "ece/netcal", ECE(BINS).measure(sure, right)
    yield "ece-mass/netcal", ECE(BINS, equal_intervals=False).measure(sure, right)
    yield (
        "sce/torchmetrics",
        np.mean(
            [
                tm.binary_calibration_error(p_[:, k], (y_ == k).long(), BINS, "l1")
                for k in range(classes)
            ]
        ),
    )


def separated(own: np.ndarray, foreign: np.ndarray) -> Arrays:
    """OoD metrics; test images are the positive class unless "foreign" stands there."""
    z = np.concatenate([own, foreign]).astype(np.float64)
    truth = np.repeat([1, 0], [len(own), len(foreign)])
    scores = {"max-logit": z.max(axis=1), "energy": logsumexp(z, axis=1)}
    for name, score in scores.items():
        yield f"ood-auroc {name}/scikit-learn", roc_auc_score(truth, score)
        yield f"ood-aupr {name}/scikit-learn", average_precision_score(truth, score)
        yield (
            f"ood-aupr {name} foreign/scikit-learn",
            average_precision_score(1 - truth, -score),
        )
    p_, y_ = torch.from_numpy(softmax(z, axis=1).max(axis=1)), torch.from_numpy(truth)
    yield "ood-auroc max-softmax/torchmetrics", tm.binary_auroc(p_, y_)
    yield "ood-aupr max-softmax/torchmetrics", tm.binary_average_precision(p_, y_)
    passing, _ = tm.binary_specificity_at_sensitivity(p_, y_, min_sensitivity=0.95)
    yield "ood-fpr95 max-softmax/torchmetrics", 1 - passing


def faults() -> Arrays:
    """Inputs on which a library's number is not the definition's, or is another thing's."""
    sure, _, _ = draw(200, 10, scale=40)
    p = softmax(sure.astype(np.float64), axis=1)
    labels = p.argmax(axis=1)  # right but for some of those of which it is certain
    certain = np.flatnonzero(p.max(axis=1) == 1)
    labels[certain[::4]] = p.argmin(axis=1)[certain[::4]]
    yield "sure/logits", sure
    yield "sure/labels", labels.astype(np.uint8)
    yield (
        "sure/ece/torchmetrics wrong",
        tm.multiclass_calibration_error(
            torch.from_numpy(p), torch.from_numpy(labels), 10, BINS, "l1"
        ),
    )
    yield "sure/ece/netcal", ECE(BINS).measure(p, labels)
    yield "sure/nll/scikit-learn wrong", log_loss(labels, p, labels=range(10))
    yield "sure/nll/torch", nn.functional.cross_entropy(tensor(sure), torch.from_numpy(labels))
    two = torch.tensor([[0.95, 0.05], [1.0, 0.0]], dtype=torch.float64)
    answers = torch.tensor([0, 1])
    yield (
        "pair/ece/torchmetrics wrong",
        tm.multiclass_calibration_error(two, answers, 2, 10, "l1"),
    )
    yield "pair/ece/netcal", ECE(10).measure(np.array([0.95, 1.0]), np.array([1, 0]))
    timid = np.random.default_rng(4).random((200, 4)).astype(np.float16)
    truth = np.arange(200) % 4
    yield "timid/logits", timid
    yield "timid/labels", truth.astype(np.uint8)
    yield (
        "timid/ece/torchmetrics wrong",
        tm.multiclass_calibration_error(tensor(timid), torch.from_numpy(truth), 4, BINS, "l1"),
    )
    yield "timid/ece/netcal", ECE(BINS).measure(softmax(timid.astype(np.float64), axis=1), truth)
    own, labels, foreign = draw(500, 10, scale=2.5)
    energy = logsumexp(np.concatenate([own, foreign]).astype(np.float64) + 40, axis=1)
    kinds = np.repeat([1, 0], [len(own), len(foreign)])
    yield (
        "ten/ood-auroc energy plus 40/torchmetrics wrong",
        tm.binary_auroc(torch.from_numpy(energy).float(), torch.from_numpy(kinds)),
    )
    yield "ten/ACE/netcal", ACE(BINS).measure(softmax(own.astype(np.float64), axis=1), labels)


def tensor(logits: np.ndarray) -> Tensor:
    """As float64."""
    return torch.from_numpy(logits.astype(np.float64))


def attacks() -> Arrays:
    """FGSM and PGD without a random start on a small network: which images stand, and all pixels.

    Moves are whole levels of 255 and kept as such.
    """
    stream = np.random.default_rng(0)
    pixels = stream.integers(0, 256, (80, 3, 6, 5), dtype=np.uint8)
    weights = {
        name: np.round(stream.normal(size=shape) * 64 * scale) / 64
        for name, shape, scale in (
            *(("0.weight", (8, 3, 3, 3), 0.2), ("0.bias", (8,), 0.2)),
            *(("3.weight", (5, 96), 0.4), ("3.bias", (5,), 0.4)),
        )
    }
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)).eval()
    model.load_state_dict({name: torch.from_numpy(w).float() for name, w in weights.items()})
    x = torch.from_numpy(pixels).float() / 255
    with torch.no_grad():
        labels = model(x).argmax(dim=1)
    labels[::10] = (labels[::10] + 1) % 5  # some are wrong from the start
    yield "attacks/pixels", pixels
    yield "attacks/labels", labels.numpy().astype(np.uint8)
    yield from ((f"attacks/network/{name}", w.astype(np.float16)) for name, w in weights.items())

    bounded = foolbox.PyTorchModel(model, bounds=(0, 1))
    one = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    many = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=STEPS, random_start=False)
    runs: dict[str, Callable[[], Tensor]] = {
        "fgsm/foolbox": lambda: one(bounded, x, labels, epsilons=EPS)[1],
        "pgd/foolbox": lambda: many(bounded, x, labels, epsilons=EPS)[1],
        "fgsm/torchattacks": lambda: torchattacks.FGSM(model, EPS)(x, labels),
        "pgd/torchattacks": lambda: torchattacks.PGD(model, EPS, EPS / 4, STEPS, False)(x, labels),
    }
    for name, run in runs.items():
        made = run().detach()
        yield f"attacks/{name}/moves", moves(made, x)
        yield f"attacks/{name}/stands", stands(model, made, labels)
    rungs = [eps / 255 for eps in LADDER]
    yield (
        "attacks/curve/foolbox/stands",
        np.stack(
            [stands(model, made, labels) for made in one(bounded, x, labels, epsilons=rungs)[1]]
        ),
    )
    cold = nn.Sequential(model, Times(300.0)).eval()
    made = many(foolbox.PyTorchModel(cold, bounds=(0, 1)), x, labels, epsilons=EPS)[1]
    yield "attacks/sure pgd/foolbox wrong/stands", stands(cold, made, labels)


class Times(nn.Module):
    """Logits many times as large: the same answers, all but certain."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        """Multiply."""
        return logits * self.factor


def moves(made: Tensor, images: Tensor) -> np.ndarray:
    """By how many levels of 255 each pixel moved, after a check that they are whole."""
    rounded = ((made - images) * 255).round()
    assert (made - images - rounded / 255).abs().max() < 1e-6
    return rounded.to(torch.int8).numpy()


def stands(model: nn.Module, images: Tensor, labels: Tensor) -> np.ndarray:
    """Which images are answered rightly."""
    with torch.no_grad():
        return np.asarray(model(images).argmax(dim=1) == labels)


def corruptions() -> Arrays:
    """A picture after those kinds that draw nothing, and moments of noise on a flat one."""
    clean = picture()
    yield "picture", clean.transpose(2, 0, 1)
    for kind in STILL:
        made = [imagecorruptions.corrupt(clean, severity, kind) for severity in MOTION]
        yield f"picture/{kind}", np.stack(made).transpose(0, 3, 1, 2)
    smeared = [
        np.clip(pictures._motion_blur(clean, radius, sigma, angle), 0, 255)
        for radius, sigma in MOTION.values()
        for angle in DEGREES
    ]
    yield "picture/motion", np.rint(np.stack(smeared).transpose(0, 3, 1, 2)).astype(np.uint8)
    np.random.seed(0)  # the library's only handle, but for impulses
    flat = np.full((320, 320, 3), 100, np.uint8)
    for kind in NOISES:
        seed = {"seed": 0} if kind == "impulse_noise" else {}
        noisy = [imagecorruptions.corrupt(flat, s, kind, **seed) for s in range(1, 6)]
        yield f"noise/{kind}", np.array([[n.mean(), n.std(), (n == 0).mean()] for n in noisy])


def picture() -> np.ndarray:
    """Ground, sharp rims, saturated, grey, black and white parts, texture: uint8 [36, 44, 3]."""
    y, x = np.mgrid[:36, :44] / 36
    rgb = np.stack([0.2 + 0.6 * y, 0.7 - 0.4 * x, 0.3 + 0.3 * x * y], axis=-1)
    rgb[(y - 0.4) ** 2 + (x - 0.35) ** 2 < 0.05] = (0.9, 0.15, 0.1)
    rgb[(abs(y - 0.7) < 0.15) & (abs(x - 0.9) < 0.2)] = (0.1, 0.3, 0.85)
    rgb += 0.06 * np.sin(2 * np.pi * (6 * x + 4 * y))[..., None]
    rgb += 0.02 * np.random.default_rng(0).normal(size=rgb.shape)
    rgb[:4, :4], rgb[:4, 4:8], rgb[:4, 8:12] = 0, 1, 0.5
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
