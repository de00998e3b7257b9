"""Controls: another method's ticket, changed in one respect to see whether that mattered."""

from __future__ import annotations

from scratchcard.contracts import Context, Method, UserError
from scratchcard.masks import Masks


class Control(Method):
    """Takes the mask of the method labelled ``of``, and starts where that method starts.

    Subclasses are frozen dataclasses that begin with ``of: str = field()``: a required option.
    """

    of: str = ""  # in place of the base's property, which a dataclass could not set

    @property
    def starts_from(self) -> str:
        """Where the other method does."""
        return ""

    def start(self, ctx: Context) -> Masks:
        """The other method's mask as it is.

        Raises:
            UserError: There is no other method, because this is no study.
        """
        if ctx.other is None:
            raise UserError(
                f'no mask of "{self.of}" to make a control of: name a method of the same study, '
                'such as of = "lth"'
            )
        return ctx.other
