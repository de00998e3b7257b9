"""The Lanczos method, for many symmetric matrices at once that are known by their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scratchcard.contracts import UserError


def check_lanczos(steps: int, tolerance: float) -> None:
    """Refuse numbers that ``lanczos`` cannot do with."""
    if steps < 1:
        raise UserError(f"steps must be 1 or more, not {steps}")
    if not 0 < tolerance < 1:
        raise UserError(
            f"tolerance must be a relative residual between 0 and 1, such as 0.001, not {tolerance}"
        )


@dataclass(frozen=True)
class Ritz:
    """Approximate largest eigenvalues of B symmetric matrices.

    Attributes:
        values: float64 [B].
        vectors: Of length 1, [B, D].
        residuals: |H u - value u| / |value|, float64 [B]; 0 where H u is 0.
        products: How many there were.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int


def lanczos(
    apply: Callable[[Tensor], Tensor], start: Tensor, *, steps: int, tolerance: float
) -> Ritz:
    """The algebraically largest eigenvalue of each of B symmetric matrices at once.

    With full reorthogonalisation, in a Krylov space of ``steps`` vectors at most. A matrix whose
    residual is at most ``tolerance`` is done: what the others still need does not change it.

    Args:
        apply: The products of B vectors [B, D] with their matrices.
        start: Vectors to begin from [B, D]; a row of zeros has the eigenvalue 0.
        steps: How many products at most, 1 or more.
        tolerance: Of the relative residual.

    >>> matrix = torch.diag(torch.tensor([5.0, 1.0, -9.0]))
    >>> found = lanczos(lambda v: v @ matrix, torch.ones(1, 3), steps=3, tolerance=1e-3)
    >>> round(float(found.values), 4)
    5.0
    """
    basis = [_unit(start)]
    diagonal: list[Tensor] = []  # of the tridiagonal matrix
    beside: list[Tensor] = []
    values = torch.zeros(len(start), dtype=torch.float64, device=start.device)
    residuals = torch.full_like(values, torch.inf)
    vectors = basis[0]
    for step in range(min(steps, start.shape[1])):
        image = apply(basis[step])
        diagonal.append(_dot(image, basis[step]))
        for _ in range(2):  # once is not enough in float32
            for known in basis:
                image = image - _dot(image, known)[:, None].to(image) * known
        length = image.double().norm(dim=1)
        top, weights = _largest(diagonal, beside)
        error = length * weights[:, -1].abs()
        # Below rounding, what is left of the image is noise and the space is exhausted.
        floor = torch.finfo(start.dtype).eps * 10 * _scale(diagonal, beside)
        length = torch.where(length > floor, length, 0.0)
        fresh = residuals > tolerance
        combined = sum(w[:, None].to(v) * v for w, v in zip(weights.unbind(1), basis, strict=True))
        vectors = torch.where(fresh[:, None], combined, vectors)
        values = torch.where(fresh, top, values)
        relative = torch.where(length > 0, error / torch.maximum(top.abs(), floor), 0.0)
        residuals = torch.where(fresh, relative, residuals)
        if bool((residuals <= tolerance).all()):
            break
        basis.append(_unit(image) * (length > 0)[:, None])
        beside.append(length)
    return Ritz(values, _unit(vectors), residuals, len(diagonal))


def _unit(rows: Tensor) -> Tensor:
    length = rows.double().norm(dim=1, keepdim=True)
    unit: Tensor = rows / length.clamp(min=1e-300)
    return unit.to(rows.dtype)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() * other.double()).sum(dim=1)


def _scale(diagonal: list[Tensor], beside: list[Tensor]) -> Tensor:
    return torch.stack([*diagonal, *beside]).abs().amax(dim=0)


def _largest(diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The largest eigenvalue [B] of tridiagonal matrices, and its eigenvectors [B, k]."""
    matrix = torch.diag_embed(torch.stack(diagonal, dim=1))
    for place, value in enumerate(beside):
        matrix[:, place, place + 1] = matrix[:, place + 1, place] = value
    values, vectors = torch.linalg.eigh(matrix)
    return values[:, -1], vectors[:, :, -1]
