"""The official corrupted test sets, CIFAR-10-C, CIFAR-100-C and ImageNet-C, from their files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scratchcard.contracts import UserError
from scratchcard.contracts.corruptions import EXTRA, SEVERITIES, STANDARD
from scratchcard.data.base import Images, Rows
from scratchcard.data.pictures import Encoded, Named

SUFFIXES = (".jpeg", ".jpg", ".png")


def official(
    folder: Path,
    kind: str,
    severity: int,
    *,
    classes: Sequence[str] | None = None,
    held_out: Sequence[int] = (),
) -> Rows:
    """The images of one kind and severity, of whichever layout ``folder`` has.

    Args:
        folder: With ``labels.npy`` and one ``.npy`` a kind (CIFAR), or with one folder a kind
            (ImageNet).
        kind: Such as "gaussian_noise".
        severity: 1 to 5.
        classes: See ``imagenet_c``; CIFAR's classes are numbers and have one order.
        held_out: Of CIFAR's classes those that are left out; the others are renumbered without
            gaps. Of ImageNet's, ``classes`` names those that are left.
    """
    if not (folder / "labels.npy").exists():
        return imagenet_c(folder, kind, severity, classes=classes)
    images = cifar_c(folder, kind, severity)
    return _without(images, held_out) if held_out else images


def files(folder: Path) -> dict[str, Path]:
    """What tells one version of a set from another, by name within it.

    All files of CIFAR's layout; of ImageNet's, whose files are millions, the first of each class
    and how many there are.
    """
    if (folder / "labels.npy").exists():
        return {path.name: path for path in folder.glob("*.npy")}
    # Millions of names: as text, for as many paths would take minutes.
    images = (
        (Path(place), [name for name in names if name.lower().endswith(SUFFIXES)])
        for place, _, names in os.walk(folder, followlinks=True)
    )
    return {
        f"{(place / min(names)).relative_to(folder).as_posix()} of {len(names)}": place / min(names)
        for place, names in images
        if names
    }


def check_kinds(folder: Path, *, extra: bool = False) -> None:
    """Refuse a set that lacks a standard kind, or an extra one if asked, before any is read.

    Raises:
        UserError: Kinds are missing, or the folder has neither layout.
    """
    kinds = (*STANDARD, *(EXTRA if extra else ()))
    if (folder / "labels.npy").exists():
        lost = [kind for kind in kinds if not (folder / f"{kind}.npy").exists()]
    else:
        lost = [kind for kind in kinds if not _roots(folder, kind)]
        if len(lost) == len(kinds):
            raise UserError(
                f"{folder} holds neither labels.npy, as CIFAR's sets do, nor folders of kinds such "
                f"as {lost[0]}, as ImageNet's do; unpack the set there"
            )
    if lost:
        mend = ", or remove extra = true" if set(lost) <= set(EXTRA) else ""
        raise UserError(f"{folder} lacks {', '.join(lost)}; unpack the whole set there{mend}")


def cifar_c(folder: Path, kind: str, severity: int) -> Images:
    """CIFAR-10-C or CIFAR-100-C: pixels uint8 [10000, 3, 32, 32] in the order of the test set.

    A file holds the whole test set five times, severity by severity. Only the part that is asked
    for is read.

    Args:
        folder: With ``labels.npy`` and one ``.npy`` a kind, uint8 [50000, 32, 32, 3].
        kind: Such as "gaussian_noise".
        severity: 1 to 5.
    """
    import torch

    _check(severity)
    pixels, labels = _array(folder / f"{kind}.npy"), _array(folder / "labels.npy")
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or len(pixels) % 5:
        raise UserError(
            f"{folder / f'{kind}.npy'} holds {pixels.dtype} {list(pixels.shape)}, but must hold "
            "uint8 [5 N, H, W, 3]: N images at severity 1, then 2, to 5"
        )
    if labels.shape != pixels.shape[:1]:
        raise UserError(
            f"{folder / 'labels.npy'} has the shape {list(labels.shape)}, but there are "
            f"{len(pixels)} images; take both from one archive"
        )
    n = len(pixels) // 5
    part = slice((severity - 1) * n, severity * n)
    chosen = np.ascontiguousarray(pixels[part].transpose(0, 3, 1, 2))
    return Images(torch.from_numpy(chosen), torch.from_numpy(labels[part].astype(np.int64)))


def imagenet_c(
    folder: Path, kind: str, severity: int, *, classes: Sequence[str] | None = None
) -> Encoded:
    """ImageNet-C and sets of its layout: ``kind/severity/class/*.JPEG``, decoded when taken.

    The folders of the archives (``noise``, ``blur``, ...) may be left around the kinds. Images are
    224 pixels wide already and are not resized: resizing would smooth the corruption away.

    Args:
        folder: Where the kinds or the archives' folders lie.
        kind: Such as "gaussian_noise".
        severity: 1 to 5.
        classes: Names of the class folders in the order of the labels, if not alphabetical or not
            all of them.
    """
    import torch

    _check(severity)
    found = _roots(folder, kind)
    if not found:
        raise UserError(f"{folder} has no folder {kind}; unpack that part of the set there")
    root = found[0] / str(severity)
    names = list(classes) if classes is not None else _folders(root)
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        inside = sorted(p for p in (root / name).glob("*") if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise UserError(f"{root / name} holds no image; unpack that part of the set again")
        files += inside
        labels += [label] * len(inside)
    if not files:
        raise UserError(f"{root} holds no image; unpack that part of the set again")

    def read(rows: np.ndarray) -> Iterator[Named]:
        return ((str(files[row]), files[row]) for row in rows)

    return Encoded(torch.tensor(labels), read, channels=3, size=None)


def _without(images: Images, classes: Sequence[int]) -> Images:
    import torch

    gone = torch.tensor(sorted(classes))
    kept = images.take((~torch.isin(images.labels, gone)).nonzero().flatten())
    return Images(kept.pixels, kept.labels - torch.searchsorted(gone, kept.labels))


def _roots(folder: Path, kind: str) -> list[Path]:
    """Where ImageNet's layout has a kind: in the folder, or in one of the archives' folders."""
    return [p for p in (folder / kind, *sorted(folder.glob(f"*/{kind}"))) if p.is_dir()]


def _folders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _check(severity: int) -> None:
    if severity not in SEVERITIES:
        raise UserError(f"severity = {severity}, but must be a whole number from 1 to 5")


def _array(path: Path) -> np.ndarray:
    """A NumPy file, read where it is needed."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error}); unpack the set again"
        ) from error
    return array
