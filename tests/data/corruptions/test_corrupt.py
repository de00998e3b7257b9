"""What holds for every kind: shapes, draws, batches, severities and refusals."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.corruptions import (
    CORRUPTIONS,
    FAMILIES,
    SEVERITIES,
    STANDARD,
    corrupt,
    protocol_of,
)
from tests.data.corruptions.scenes import scenes

KINDS = tuple(CORRUPTIONS)
DRAWN = tuple(
    kind
    for kind in KINDS
    if kind
    not in (
        *("gaussian_blur", "defocus_blur", "zoom_blur"),
        *("brightness", "contrast", "saturate", "pixelate", "jpeg_compression"),
    )
)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def test_the_official_names() -> None:
    assert FAMILIES == {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    }
    assert len(STANDARD) == 15
    assert not set(STANDARD) & set(FAMILIES["extra"])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("side", "channels"), [(32, 3), (32, 1), (96, 3), (128, 1)])
def test_levels_of_the_same_shape(kind: str, side: int, channels: int, device: str) -> None:
    x = scenes(2, side, channels).to(device)
    before = x.clone()
    if channels == 1 and not CORRUPTIONS[kind].grey:
        with pytest.raises(NotApplicable, match="RGB"):
            corrupt(x, kind, 1)
        return
    for severity in (1, 3, 5):
        found = corrupt(x, kind, severity)
        assert found.dtype == torch.uint8
        assert found.shape == x.shape
        assert found.device == x.device
        assert not torch.equal(found, x)
    assert torch.equal(x, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_devices_agree() -> None:
    x = scenes(20)
    for kind in KINDS:
        here, there = corrupt(x, kind, 3), corrupt(x.cuda(), kind, 3).cpu()
        assert float((here != there).float().mean()) < 2e-3, kind


@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (33, 29)])
@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_not_square(kind: str, shape: tuple[int, int]) -> None:
    height, width = shape
    x = scenes(2, 48)[:, :, :height, :width]
    assert corrupt(x, kind, 5).shape == x.shape


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_its_batch(kind: str) -> None:
    x = scenes(60)
    whole = corrupt(x, kind, 3, seed=5, index=1000)
    for first, last in ((0, 1), (1, 2), (17, 60)):
        part = corrupt(x[first:last], kind, 3, seed=5, index=1000 + first)
        assert torch.equal(part, whole[first:last])
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(corrupt(x[order], kind, 3, seed=5, index=1000 + order), whole[order])


@pytest.mark.parametrize("kind", DRAWN)
def test_draws_differ_between_images_and_seeds(kind: str) -> None:
    x = scenes(1).expand(8, -1, -1, -1)
    found = corrupt(x, kind, 5)
    # Two near directions of motion can lie on the same pixels.
    different = len({tuple(image.flatten().tolist()) for image in found})
    assert different >= (6 if kind == "motion_blur" else 8)
    assert torch.equal(found, corrupt(x, kind, 5))
    other = corrupt(x, kind, 5, seed=1)
    assert not any(torch.equal(a, b) for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DRAWN])
def test_the_other_kinds_draw_nothing(kind: str) -> None:
    x = scenes(2)
    assert torch.equal(corrupt(x, kind, 5), corrupt(x, kind, 5, seed=1, index=77))


def test_torchs_own_random_numbers_are_left_alone() -> None:
    state = torch.random.get_rng_state()
    for kind in KINDS:
        corrupt(scenes(1), kind, 1)
    assert torch.equal(torch.random.get_rng_state(), state)


# Officially too: glass and elastic change their character, frost and saturate their direction.
UNSTEADY = ("glass_blur", "elastic_transform", "frost", "saturate", "spatter", "motion_blur")


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_errors_grow_with_severity(kind: str, side: int) -> None:
    x = scenes(30, side)
    found = [corrupt(x, kind, severity).float() - x for severity in SEVERITIES]
    errors = [float(d.square().mean()) ** 0.5 for d in found]
    if kind not in UNSTEADY:
        assert errors == sorted(errors)
    if kind != "elastic_transform":
        assert errors[4] > 1.1 * errors[0]
    assert min(errors) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_floats_are_rounded_to_levels_first(kind: str) -> None:
    x = scenes(2)
    for floats in (x.float() / 255, x.double() / 255, (x.float() + 0.3) / 255.5):
        assert torch.equal(corrupt(floats, kind, 2), corrupt(x, kind, 2))


def test_memory_layout_does_not_matter() -> None:
    x = scenes(3)
    last = x.contiguous(memory_format=torch.channels_last)
    for kind in KINDS:
        assert torch.equal(corrupt(last, kind, 2), corrupt(x, kind, 2)), kind


def test_no_images_give_no_images() -> None:
    assert corrupt(scenes(1)[:0], "fog", 1).shape == (0, 3, 32, 32)


def test_the_nearest_protocol_by_size() -> None:
    sides = {
        28: "cifar",
        32: "cifar",
        48: "tiny-imagenet",
        64: "tiny-imagenet",
        96: "tiny-imagenet",
    }
    assert {side: protocol_of(side, side + 9) for side in sides} == sides
    assert {protocol_of(side, side) for side in (128, 224, 512)} == {"imagenet"}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: corrupt(scenes(1)[..., :27, :], "fog", 1), NotApplicable, "at least 28 pixels"),
        (lambda: corrupt(scenes(1, 32, 2), "fog", 1), NotApplicable, "2 channels"),
        (lambda: corrupt(scenes(1, 32, 1), "saturate", 1), NotApplicable, "RGB images only"),
        (lambda: corrupt(scenes(1), "frog", 1), UserError, 'did you mean "fog"'),
        (lambda: corrupt(scenes(1), "fog", 0), UserError, "severity = 0"),
        (lambda: corrupt(scenes(1), "fog", 6), UserError, "from 1 to 5"),
        (lambda: corrupt(scenes(1) / 100, "fog", 1), UserError, "outside \\[0, 1\\]"),
        (lambda: corrupt(scenes(1) / 0.0, "fog", 1), UserError, "NaN"),
        (lambda: corrupt(scenes(1)[0], "fog", 1), UserError, "B, C, H, W"),
        (lambda: corrupt(scenes(1).int(), "fog", 1), UserError, "torch.int32"),
        (lambda: corrupt(scenes(2), "fog", 1, index=torch.arange(3)), UserError, "2 images"),
        (
            lambda: corrupt(scenes(1), "fog", 1, protocol="mnist"),  # type: ignore[arg-type]
            UserError,
            "tiny-imagenet",
        ),
    ],
)
def test_refusals(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_importing_loads_neither_torch_nor_scipy_nor_pillow() -> None:
    code = (
        "import sys, scratchcard.data.corruptions;"
        "print([m for m in ('torch', 'scipy', 'PIL') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
