"""What metrics share: one pass of logits per network and data set, and a fast copy for it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.proxy import TraceError

from scratchcard.contracts import UserError


@dataclass(frozen=True, eq=False)
class Predictions:
    """A network's logits on a labelled set; everything derived from them is float64.

    Attributes:
        logits: float32 [N, K], finite.
        labels: int64 [N], each in 0..K-1.

    Raises:
        ValueError: No example, fewer than two classes, a logit that is not finite, or a label
            that is not a class.

    >>> p = Predictions(np.array([[0.0, 1e4], [2.0, 0.0]], np.float32), np.array([0, 0]))
    >>> p.correct.tolist(), p.log_probabilities[0].tolist()
    ([False, True], [-10000.0, 0.0])
    """

    logits: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.labels.shape != self.logits.shape[:1]:
            raise ValueError(
                f"predictions are logits [N, K] and labels [N], "
                f"not {self.logits.shape} and {self.labels.shape}"
            )
        n, classes = self.logits.shape
        if n == 0 or classes < 2:
            raise ValueError(f"predictions need examples and 2 classes or more, not {n}x{classes}")
        broken = self.logits.size - np.count_nonzero(np.isfinite(self.logits))
        if broken:
            raise ValueError(f"{broken} of {self.logits.size} logits are infinite or not a number")
        if self.labels.min() < 0 or self.labels.max() >= classes:
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, "
                f"but the network tells {classes} classes: 0 to {classes - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes the network tells apart, K."""
        return int(self.logits.shape[1])

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """Log softmax [N, K]; finite where the probability itself underflows."""
        z = self.logits.astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
        return np.asarray(z)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax [N, K]."""
        return np.asarray(np.exp(self.log_probabilities))

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class of the largest logit [N]; the first of equal ones."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class [N]."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the label, bool [N]."""
        return np.asarray(self.predicted == self.labels)


def floats(pixels: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, float is left as it is."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()


def batches(pixels: Tensor, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """The images in order as float batches [B, C, H, W] on the device, the last one smaller."""
    for start in range(0, len(pixels), batch_size):
        yield floats(pixels[start : start + batch_size].to(device))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer is; the CPU if it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def check_logits(answer: Any, images: int) -> Tensor:
    """What a network answered, if it has the form of logits; nothing is taken out or converted.

    Args:
        answer: Whatever the network returned.
        images: How many images it was shown, B.

    Returns:
        The same tensor, floating point [B, K], K at least 2; it may hold what is not a number.

    Raises:
        UserError: A tuple, a mapping or another object, or a tensor of another form.

    >>> check_logits(torch.zeros(3, 1), 3)
    Traceback (most recent call last):
        ...
    scratchcard.contracts.values.UserError: the network returns [3, 1] for 3 images, ...
    """
    if not isinstance(answer, Tensor):
        raise UserError(
            f"the network returns {_described(answer)}, but metrics need one tensor, the logits "
            f"[B, K]: wrap it in a module whose forward(x) returns {_mend(answer)}"
        )
    shape = list(answer.shape)
    if len(shape) != 2 or shape[0] != images or shape[1] < 2:
        raise UserError(
            f"the network returns {shape} for {images} images, but must return logits [B, K], a "
            "row for each image and a column for each class, of which there are 2 or more"
        )
    if not answer.is_floating_point():
        raise UserError(
            f"the network returns {answer.dtype}, but metrics need logits, floating point: remove "
            "what follows the last layer (argmax, rounding)"
        )
    return answer


def _described(answer: Any) -> str:
    kind = type(answer).__name__
    if isinstance(answer, Mapping):
        return f"{kind} (of {', '.join(map(str, answer))})"
    return f"{kind} (of {len(answer)})" if isinstance(answer, tuple | list) else kind


def _mend(answer: Any) -> str:
    if hasattr(answer, "logits"):
        return "self.net(x).logits"
    if isinstance(answer, Mapping):
        return 'self.net(x)["logits"]' if "logits" in answer else "the right one of these"
    first = isinstance(answer, tuple | list)
    return "self.net(x)[0], if the logits come first" if first else "them"


def check_no_probabilities(answer: Tensor) -> None:
    """Refuse softmax's answers, which would pass for logits that are never sure of anything.

    Logarithms of probabilities are logits as good as any: softmax leaves them as they are.

    Args:
        answer: What a network returned for all images there are [N, K]; it is refused if no row
            has a negative number and each adds up to 1, to 1e-3 or to what its rounding leaves. A
            single pair of numbers, or the same pair for every image, can do so by chance and is
            let through.

    Raises:
        UserError: The rows are probabilities.

    >>> check_no_probabilities(torch.randn(5, 3).log_softmax(dim=1))
    >>> check_no_probabilities(torch.randn(5, 3).softmax(dim=1))
    Traceback (most recent call last):
        ...
    scratchcard.contracts.values.UserError: the network returns probabilities, ...
    """
    if answer.shape[1] == 2 and bool(((answer - answer[:1]).abs() <= 1e-3).all()):
        return
    sums = answer.sum(dim=1, dtype=torch.float64)
    tolerance = max(1e-3, torch.finfo(answer.dtype).eps)
    if bool((answer >= 0).all()) and bool(((sums - 1).abs() <= tolerance).all()):
        raise UserError(
            "the network returns probabilities, but metrics need logits: remove the softmax at "
            "its end (their logarithms would do too: self.net(x).clamp(min=1e-30).log())"
        )


def logits(
    model: nn.Module,
    pixels: Tensor,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> np.ndarray:
    """Logits of every image in one pass, in evaluation mode; the model's own mode is restored.

    Args:
        model: Images in [0, 1] to logits.
        pixels: uint8, or float in [0, 1], [N, C, H, W].
        batch_size: Images per forward pass.
        device: Where the model is; found by itself if None.

    Returns:
        float32 [N, K].

    Raises:
        UserError: The network returns no logits: something else than a tensor [B, K], or
            probabilities.
    """
    place = device_of(model) if device is None else torch.device(device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            found = [
                check_logits(model(batch), len(batch)).cpu()
                for batch in batches(pixels, batch_size, place)
            ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    whole = torch.cat(found)
    check_no_probabilities(whole)
    return whole.float().numpy()


def inference_copy(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy for forward passes and input gradients: evaluation mode, BatchNorm folded.

    A copy that cannot be traced, or that answers differently from the model by more than 1e-5 of
    the largest logit (of 1, if that is larger), is given up for a plain copy.

    Args:
        model: Left as it is: mode, buffers and gradients.
        example: float images [B, C, H, W] to check the copy on, on the model's device.

    Returns:
        A module in evaluation mode whose parameters want no gradients.

    Raises:
        UserError: The model returns no logits for the example, as in ``logits``.
    """
    plain = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.inference_mode():
        wanted = check_logits(plain(example), len(example))
    check_no_probabilities(wanted)
    folded = _folded(plain)
    if folded is None:
        return plain
    with torch.inference_mode():
        try:
            found = folded(example)
        except RuntimeError:  # Tensor.view() of a channels_last activation
            return plain
    error, largest = (found - wanted).abs().max(), wanted.abs().max()
    return folded if error <= 1e-5 * max(1.0, float(largest)) else plain


def _folded(model: nn.Module) -> nn.Module | None:
    """A channels_last copy with BatchNorm folded into what stands before; None if untraceable."""
    with warnings.catch_warnings():
        # Importing it makes torch warn of its own deprecated script_method.
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.fx.experimental.optimization import fuse
    try:
        folded: nn.Module = fuse(model)
    except (TraceError, TypeError, RuntimeError, AttributeError, NameError):
        # In turn: a branch on values, range(), len(), an attribute of a number, a foreign module.
        return None
    return folded.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
