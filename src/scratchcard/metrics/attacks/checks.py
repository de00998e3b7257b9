"""What the options of attacks must be."""

from __future__ import annotations

from scratchcard.contracts import UserError


def check_eps(eps: float) -> None:
    """Refuse an eps that is no share of the pixel range."""
    if not 0 <= eps <= 1:
        raise UserError(f"eps is a share of the pixel range, between 0 and 1, not {eps}")


def check_counts(**counts: int) -> None:
    """Refuse options that count something and are below 1."""
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name} must be 1 or more, not {count}")
