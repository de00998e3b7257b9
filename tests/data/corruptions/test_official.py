"""Readers of the official files, on small files of the same layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchcard.contracts import UserError
from scratchcard.contracts.corruptions import STANDARD
from scratchcard.data.corruptions import cifar_c, imagenet_c, official
from scratchcard.data.corruptions.official import check_kinds, files
from scratchcard.data.files import fingerprint

N = 7


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (5 * N, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "fog.npy", pixels)
    np.save(tmp_path / "labels.npy", np.tile(np.arange(N), 5).astype(np.uint8))
    return tmp_path


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for number, name in enumerate(("n02", "n01", "n10")):
        for severity in (1, 5):
            folder = tmp_path / "weather" / "fog" / str(severity) / name
            folder.mkdir(parents=True)
            for file in range(number + 1):
                shade = 10 * number + severity + 100 * (file % 2)
                picture = Image.new("RGB", (24, 24), (shade,) * 3)
                picture.save(folder / f"ILSVRC_{file}.JPEG", "JPEG", quality=95)
    return tmp_path


def test_cifar_holds_one_severity_after_the_other(cifar: Path) -> None:
    stored = np.load(cifar / "fog.npy")
    for severity in (1, 3, 5):
        images = cifar_c(cifar, "fog", severity)
        assert images.labels.tolist() == list(range(N))
        assert images.pixels.dtype == torch.uint8
        for row in range(N):
            wanted = stored[(severity - 1) * N + row]
            assert np.array_equal(images.pixels[row].permute(1, 2, 0).numpy(), wanted)


def test_cifar_refusals(cifar: Path) -> None:
    with pytest.raises(UserError, match=r"snow\.npy cannot be read"):
        cifar_c(cifar, "snow", 1)
    with pytest.raises(UserError, match="severity = 6"):
        cifar_c(cifar, "fog", 6)
    np.save(cifar / "frost.npy", np.zeros((10, 3, 32, 32), dtype=np.uint8))
    with pytest.raises(UserError, match=r"5 N, H, W, 3"):
        cifar_c(cifar, "frost", 1)
    np.save(cifar / "snow.npy", np.zeros((10, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="10 images"):
        cifar_c(cifar, "snow", 1)
    (cifar / "glass_blur.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match=r"glass_blur\.npy cannot be read"):
        cifar_c(cifar, "glass_blur", 1)


def test_imagenet_folders(imagenet: Path) -> None:
    rows = imagenet_c(imagenet, "fog", 5)
    assert rows.labels.tolist() == [0, 0, 1, 2, 2, 2]
    images = rows.take(np.array([2, 0, 4]))
    assert images.labels.tolist() == [1, 0, 2]
    assert images.pixels.shape == (3, 3, 24, 24)
    # Colours of n02, of the first of n01 and of the second of n10 at severity 5.
    assert images.pixels.float().mean((1, 2, 3)).tolist() == pytest.approx([5, 15, 125], abs=2)
    inner = imagenet_c(imagenet / "weather", "fog", 5)
    assert torch.equal(inner.labels, rows.labels)


def test_imagenet_labels_follow_the_classes_given(imagenet: Path) -> None:
    rows = imagenet_c(imagenet, "fog", 1, classes=("n10", "n02"))
    assert rows.labels.tolist() == [0, 0, 0, 1]
    with pytest.raises(UserError, match="n03 holds no image"):
        imagenet_c(imagenet, "fog", 1, classes=("n03",))


def test_imagenet_refusals(imagenet: Path) -> None:
    with pytest.raises(UserError, match="no folder snow"):
        imagenet_c(imagenet, "snow", 1)
    with pytest.raises(UserError, match="holds no image"):
        imagenet_c(imagenet, "fog", 2)
    with pytest.raises(UserError, match="severity = 0"):
        imagenet_c(imagenet, "fog", 0)


def test_official_tells_the_layouts_apart(cifar: Path) -> None:
    assert len(official(cifar, "fog", 2).labels) == N


def test_official_reads_folders_too(imagenet: Path) -> None:
    assert official(imagenet, "fog", 1, classes=("n01",)).labels.tolist() == [0, 0]


def test_a_version_is_told_by_first_images_and_numbers_of_them(imagenet: Path) -> None:
    (imagenet / "weather").rename(imagenet / "weather.v2")
    found = files(imagenet)
    assert set(found) == {
        f"weather.v2/fog/{severity}/{name}/ILSVRC_0.JPEG of {count}"
        for severity in (1, 5)
        for name, count in (("n01", 2), ("n02", 1), ("n10", 3))
    }
    before = fingerprint(found)
    for stray in ("checksums.npy", "weather.v2/.DS_Store", "weather.v2/fog/1/n01/.DS_Store"):
        (imagenet / stray).write_bytes(b"of the file manager")
    assert fingerprint(files(imagenet)) == before
    first = imagenet / "weather.v2/fog/1/n01/ILSVRC_0.JPEG"
    late = first.with_name("ILSVRC_9.JPEG")
    late.write_bytes(b"a file that unpacking had missed")
    assert fingerprint(files(imagenet)) != before, "what was read before is not all of it"
    late.unlink()
    assert fingerprint(files(imagenet)) == before
    first.write_bytes(b"another image")
    assert fingerprint(files(imagenet)) != before


def test_names_of_classes_are_no_patterns(imagenet: Path) -> None:
    root = imagenet / "weather/fog/1"
    (root / "n01").rename(root / "n[01]")
    rows = imagenet_c(imagenet, "fog", 1, classes=["n[01]", "n10"])
    assert rows.labels.tolist() == [0, 0, 1, 1, 1]


def test_missing_kinds_are_named_before_anything_is_read(cifar: Path) -> None:
    with pytest.raises(UserError, match=r"lacks gaussian_noise, .*; unpack the whole set there$"):
        check_kinds(cifar)
    for kind in STANDARD:
        (cifar / f"{kind}.npy").touch()
    check_kinds(cifar)
    with pytest.raises(UserError, match=r"lacks speckle_noise, .*, or remove extra = true$"):
        check_kinds(cifar, extra=True)
    (cifar / "labels.npy").unlink()
    with pytest.raises(UserError, match=r"neither labels\.npy, .* such as gaussian_noise"):
        check_kinds(cifar)


def test_kinds_may_lie_in_the_folders_of_their_archives(imagenet: Path) -> None:
    for kind in STANDARD[:-1]:
        (imagenet / "other" / kind).mkdir(parents=True)
    last = STANDARD[-1]
    with pytest.raises(UserError, match=f"lacks {last};"):
        check_kinds(imagenet)
    (imagenet / last).mkdir()
    check_kinds(imagenet)
