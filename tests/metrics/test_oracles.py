"""Answers of other libraries, and their faults; oracles.npz comes from benchmarks/oracles.py."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.data.corruptions import corrupt
from scratchcard.data.corruptions.filters import smear
from scratchcard.metrics.attacks.fgsm import direction
from scratchcard.metrics.attacks.pgd import pgd as attack
from scratchcard.metrics.calibration.brier import brier
from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.ece_mass import ece_mass
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.sce import sce
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.ood_aupr import ood_aupr
from scratchcard.metrics.generalisation.ood_auroc import ood_auroc
from scratchcard.metrics.generalisation.ood_fpr95 import ood_fpr95
from scratchcard.metrics.generalisation.ood_scores import sureness
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.metrics.generalisation.robustness_curve import robustness_curve
from scratchcard.metrics.generalisation.top5 import top5
from scratchcard.probe import Predictions

with np.load(Path(__file__).with_name("oracles.npz"), allow_pickle=False) as _file:
    ORACLES: dict[str, np.ndarray] = dict(_file)

LABELLED: dict[str, Callable[[Predictions], Reading]] = {
    "accuracy": accuracy,
    "top-5": top5,
    "nll": nll,
    "brier": brier,
    "ece": ece,
    "ece-mass": ece_mass,
    "sce": sce,
}
FOREIGN: dict[str, Callable[..., Reading]] = {
    "ood-auroc": ood_auroc,
    "ood-aupr": ood_aupr,
    "ood-fpr95": ood_fpr95,
}
SETS, EPS, SEVERITIES = ("two", "five", "ten"), 8 / 255, (1, 3, 5)


def answers(metrics: dict[str, Callable[..., Reading]]) -> list[str]:
    """Names of the committed numbers of some metrics, such as "ten/ece/netcal"."""
    return [
        key
        for key in ORACLES
        for parts in [key.split("/")]
        if parts[0] in SETS and len(parts) == 3 and parts[1].split()[0] in metrics
        if not key.endswith("wrong")
    ]


def predictions(name: str) -> Predictions:
    logits = ORACLES[f"{name}/logits"].astype(np.float32)
    return Predictions(logits, ORACLES[f"{name}/labels"].astype(np.int64))


def test_every_set_has_the_answers_of_every_library() -> None:
    assert len(answers(LABELLED)) == 3 * 8 + 1  # five classes and fewer have no top-5
    assert len(answers(FOREIGN)) == 3 * 9


@pytest.mark.parametrize("key", answers(LABELLED))
def test_scores_and_calibration_are_the_libraries(key: str) -> None:
    name, metric, _ = key.split("/")
    found = LABELLED[metric](predictions(name)).value
    assert found == pytest.approx(float(ORACLES[key]), abs=2e-7)  # some count in float32


@pytest.mark.parametrize("key", answers(FOREIGN))
def test_ood_metrics_are_the_libraries(key: str) -> None:
    name, what, _ = key.split("/")
    metric, score, *other = what.split()
    foreign = ORACLES[f"{name}/foreign"].astype(np.float32)
    reading = FOREIGN[metric](predictions(name), {"far": foreign}, {}, score=score)
    found = reading.parts["far, foreign positive"].value if other else reading.value
    # Of "five", many confidences are equal but for the order in which exponentials were added.
    tolerance = 1e-4 if (name, score) == ("five", "max-softmax") else 2e-7
    assert found == pytest.approx(float(ORACLES[key]), abs=tolerance)


def test_confidence_1_is_no_bin_of_its_own() -> None:
    both = np.log(np.array([[0.95, 0.05], [1.0, 1e-30]], np.float32))
    pair = Predictions(both, np.array([0, 1]))
    assert ORACLES["pair/ece/torchmetrics wrong"] == pytest.approx(0.525)
    assert ece(pair, bins=10).value == pytest.approx(float(ORACLES["pair/ece/netcal"]), abs=1e-7)
    sure = predictions("sure")
    assert 20 < (sure.confidence == 1).sum() < 150
    found = ece(sure).value
    assert found == pytest.approx(float(ORACLES["sure/ece/netcal"]), abs=1e-12)
    assert found < ORACLES["sure/ece/torchmetrics wrong"] - 0.005


def test_a_sure_mistake_costs_what_it_costs() -> None:
    found = nll(predictions("sure")).value
    assert found == pytest.approx(float(ORACLES["sure/nll/torch"]), rel=1e-12)
    assert found > 2 * ORACLES["sure/nll/scikit-learn wrong"]  # 36 is the most it counts an image


def test_logits_between_0_and_1_are_logits_still() -> None:
    timid = predictions("timid")
    assert 0 <= timid.logits.min() <= timid.logits.max() <= 1
    found = ece(timid).value
    assert found == pytest.approx(float(ORACLES["timid/ece/netcal"]), abs=1e-12)
    assert found < ORACLES["timid/ece/torchmetrics wrong"] / 5


def test_scores_outside_0_and_1_keep_their_order() -> None:
    own, foreign = predictions("ten"), ORACLES["ten/foreign"].astype(np.float32)
    raised = Predictions(own.logits + 40, own.labels)
    found = ood_auroc(raised, {"far": foreign + 40}, {}, score="energy").value
    truth = np.repeat([1, 0], [len(own), len(foreign)])
    scores = np.concatenate([sureness(z, "energy") for z in (raised.logits, foreign + 40)])
    assert found == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found == pytest.approx(float(ORACLES["ten/ood-auroc energy/scikit-learn"]), abs=1e-4)
    assert ORACLES["ten/ood-auroc energy plus 40/torchmetrics wrong"] == 0.5


def test_the_unweighted_error_of_netcal_is_no_ece_of_equal_mass() -> None:
    ten = predictions("ten")
    assert abs(ece_mass(ten).value - ORACLES["ten/ACE/netcal"]) > 0.04


def network(times: float = 1.0) -> nn.Module:
    """The small network that was attacked, its logits multiplied."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
    for name, parameter in model.named_parameters():
        parameter.data = torch.from_numpy(ORACLES[f"attacks/network/{name}"]).float()
    for name in ("3.weight", "3.bias"):
        model.get_parameter(name).data *= times
    return model.eval()


def attacked() -> Images:
    labels = torch.from_numpy(ORACLES["attacks/labels"]).long()
    return Images(torch.from_numpy(ORACLES["attacks/pixels"]), labels)


def by_fgsm(model: nn.Module, test: Images) -> Tensor:
    return (test.floats() + EPS * direction(model, test.floats(), test.labels)).clamp(0, 1)


def by_pgd(model: nn.Module, test: Images) -> Tensor:
    return attack(model, test.floats(), test.labels, eps=EPS, steps=10, to_the_end=True)


@pytest.mark.parametrize("library", ["foolbox", "torchattacks"])
@pytest.mark.parametrize(("name", "own"), [("fgsm", by_fgsm), ("pgd", by_pgd)])
def test_attacked_images_are_the_libraries(
    name: str, own: Callable[[nn.Module, Images], Tensor], library: str
) -> None:
    model, test = network(), attacked()
    made = own(model, test)
    wanted = test.floats() + torch.from_numpy(ORACLES[f"attacks/{name}/{library}/moves"]) / 255
    assert ((made - wanted).abs() > 1e-6).float().mean() < 1e-3  # a gradient of about 0 has no sign
    stood = ORACLES[f"attacks/{name}/{library}/stands"]
    assert 0.3 < stood.mean() < 0.7
    with torch.no_grad():
        found = (model(made).argmax(dim=1) == test.labels).numpy()
    assert np.abs(found ^ stood).sum() <= 1


def test_fgsm_accuracy_and_the_curve_are_foolboxs() -> None:
    model, test = network(), attacked()
    reading = fgsm(model, test)
    assert reading.value == pytest.approx(ORACLES["attacks/fgsm/foolbox/stands"].mean(), abs=0.013)
    curve = robustness_curve(model, test, attack="fgsm").parts
    rungs = ("0.25", "0.5", "1", "2", "4", "8")
    found = [curve[f"eps {eps}/255"].value for eps in rungs]
    stood = ORACLES["attacks/curve/foolbox/stands"]
    wanted = np.logical_and.accumulate(stood).mean(axis=1)  # what was enough once is ever after
    assert found == pytest.approx(wanted.tolist(), abs=0.013)
    assert wanted[0] > wanted[-1] + 0.3


def test_gradients_that_underflow_are_no_robustness() -> None:
    model, test = network(300), attacked()
    blind = ORACLES["attacks/sure pgd/foolbox wrong/stands"]
    made = by_pgd(model, test)
    with torch.no_grad():
        fooled = (model(made).argmax(dim=1) != test.labels).numpy()
    assert (made - test.floats()).abs().max() < EPS + 1e-6
    assert (blind & fooled).mean() > 0.1  # images it calls robust, and here they are, not so
    assert pgd(model, test, steps=10).value < blind.mean() - 0.1


def ours(kind: str) -> Tensor:
    """The picture corrupted here [severities, C, H, W]."""
    clean = torch.from_numpy(ORACLES["picture"])[None]
    return torch.cat([corrupt(clean, kind, s, protocol="imagenet") for s in SEVERITIES])


def off(found: Tensor, kind: str) -> Tensor:
    """How many levels each value of the corrupted picture is off [severities, C, H, W]."""
    return (found.int() - torch.from_numpy(ORACLES[f"picture/{kind}"]).int()).abs()


SHARES = {
    "brightness": 0.01,
    "contrast": 0.0,
    "saturate": 0.15,  # at factor 2 all levels are whole, unless rounding leaves one just below
    "defocus_blur": 0.03,
    "gaussian_blur": 0.01,
    "zoom_blur": 0.01,
    "pixelate": 0.0,
    "jpeg_compression": 0.01,
}


@pytest.mark.parametrize("kind", SHARES)
def test_pictures_are_the_librarys_to_one_level(kind: str) -> None:
    distance = off(ours(kind), kind)
    if kind == "zoom_blur":
        distance = distance[:, :, :-1]  # see below
    assert distance.max() <= 1
    assert (distance > 0).float().mean((1, 2, 3)).max() <= SHARES[kind]
    plain = torch.from_numpy(ORACLES["picture"]).expand(3, -1, -1, -1)
    assert off(plain, kind).float().mean() > 1.5


def test_zoom_blur_has_no_dark_rim() -> None:
    # Of 36 rows the library's zoom by 1.2 leaves the last one black.
    assert off(ours("zoom_blur"), "zoom_blur")[1:, :, -1].float().mean() > 5
    flat = torch.full((1, 3, 36, 44), 200, dtype=torch.uint8)
    for severity in SEVERITIES:
        assert (corrupt(flat, "zoom_blur", severity, protocol="imagenet") == 200).all()


def test_motion_blur_in_a_given_direction_is_the_librarys() -> None:
    clean = torch.from_numpy(ORACLES["picture"])[None].float() / 255
    made = [
        smear(clean, torch.tensor([angle]), radius, sigma)
        for radius, sigma in ((10, 3.0), (15, 8.0), (20, 15.0))
        for angle in (30.0, -40.0)
    ]
    distance = off((torch.cat(made) * 255).round(), "motion")
    assert distance.max() <= 1
    assert (distance > 0).float().mean() < 0.01


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"])
def test_noise_has_the_librarys_moments(kind: str, severity: int) -> None:
    flat = torch.full((4, 3, 160, 160), 100, dtype=torch.uint8)
    noisy = corrupt(flat, kind, severity, protocol="imagenet").double()
    mean, deviation, black = ORACLES[f"noise/{kind}"][severity - 1]
    error = deviation * (2 / noisy.numel()) ** 0.5  # of the difference of two means of as many
    assert float(noisy.mean()) == pytest.approx(mean, abs=4 * error)
    assert float(noisy.std()) == pytest.approx(deviation, rel=0.02)
    assert float((noisy == 0).double().mean()) == pytest.approx(black, abs=0.005)
