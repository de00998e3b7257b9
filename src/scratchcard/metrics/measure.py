"""One metric of one network: options checked, inputs computed when wanted, the answer checked."""

from __future__ import annotations

import copy
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, SupportsIndex

from torch import nn

from scratchcard.contracts import (
    NEED_OPTIONS,
    NEEDS,
    ErrorRates,
    MetricSpec,
    Reading,
    Task,
    UserError,
)
from scratchcard.contracts.corruptions import SEVERITIES, STANDARD
from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts, own_concepts
from scratchcard.data.corruptions import corrupt
from scratchcard.data.pictures import fit
from scratchcard.masks import Masks
from scratchcard.metrics.inputs import Data, as_images, as_pixels
from scratchcard.metrics.interpretability.occlusion import Occluded, occlude
from scratchcard.probe import Predictions, device_of, floats, inference_copy, logits
from scratchcard.registry import METRICS, check_options

_ARGUMENT = {
    "val_logits": "val",
    "ood_logits": "ood",
    "dense_logits": "dense",
    "dense_model": "dense",
    "other_masks": "others",
    "ood_classes": "ood",
    "corruption_baseline": "dense",
    "dense_occluded_logits": "dense",
}
"""Which argument of ``measure`` gives a need that is not its own name."""


def options(spec: MetricSpec, profile: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The constants a metric is called with: its defaults, the profile's, then the user's.

    Raises:
        UserError: An unknown profile or option, or one that has no default and is not given.
    """
    if profile not in ("default", "paper"):
        raise UserError(f'unknown profile "{profile}" (known: default, paper)')
    given = (dict(spec.paper) if profile == "paper" else {}) | dict(params)
    check_options("metric", spec, given)
    return {name: default for name, (_, default) in spec.parameters.items()} | given


def call(
    spec: MetricSpec, available: Mapping[str, Callable[..., Any]], params: Mapping[str, Any]
) -> Reading:
    """Compute a metric from what is available.

    Args:
        spec: The metric.
        available: Names out of ``contracts.NEEDS`` to functions that give them; only those that
            the metric needs are called, with their options (``contracts.NEED_OPTIONS``).
        params: Every option of the metric (``options``).

    Returns:
        Its reading, with ``params`` complete.

    Raises:
        UserError: Something it needs is not available.
        ValueError: The value or its standard error is not a finite number.
    """
    if spec.scope == "group" and not set(spec.needs) <= set(available):
        raise UserError(
            f'metric "{spec.name}" looks at the networks of all seeds together: name it among the '
            "metrics of a study"
        )
    for need in spec.needs:
        if need not in available:
            raise UserError(
                f'metric "{spec.name}" needs {need} ({NEEDS[need]}): '
                f"pass {_ARGUMENT.get(need, need)}=..."
            )
    needed = [
        available[need](**{option: params[option] for option in NEED_OPTIONS.get(need, {})})
        for need in spec.needs
    ]
    # Options of needs are no arguments; and masks names a need as well as an option.
    arguments = inspect.signature(spec.target).parameters.values()
    own = {p.name: params[p.name] for p in arguments if p.kind is p.KEYWORD_ONLY}
    reading: Reading = spec.target(*needed, **own)
    if not (math.isfinite(reading.value) and math.isfinite(reading.stderr)):
        raise ValueError(
            f'metric "{spec.name}" is {reading.value} with standard error {reading.stderr}, '
            "not a finite number"
        )
    return replace(reading, params=dict(params))


def measure(
    model: nn.Module,
    metric: str,
    test: Data,
    *,
    train: Data | None = None,
    val: Data | None = None,
    ood: Mapping[str, Data] | None = None,
    transfer: Mapping[str, tuple[Data, Data]] | None = None,
    concepts: Mapping[str, Concepts] | None = None,
    dense: nn.Module | None = None,
    previous: nn.Module | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    masks: Masks | SupportsIndex | None = None,
    others: Mapping[str, Masks] | None = None,
    profile: str = "default",
    **params: Any,
) -> Reading:
    """Measure a network with the function that a study would use.

    Args:
        model: Images in [0, 1] to logits, normalisation inside; it is left as it is.
        metric: A registered name.
        test: Images and labels: the name of a data set (``"digits"``), a pair of tensors, a
            ``torch.utils.data.Dataset``, a ``DataLoader`` (not a shuffling one: differences are
            paired by order) or ``Images``.
        train: The same of the training split, not augmented, for metrics that want it.
        val: The same of the validation split.
        ood: Name of each out-of-distribution set to its images; labels are not needed.
        transfer: Name of each other labelled data set to its training and test images, of the
            shape of ``test``; a named data set is made to fit, as in a study.
        concepts: Name of each concept set to the set; those of the test images if left out.
        dense: The dense twin, for metrics of a pair, and to count its corruption errors as 1.
        previous: The network of the sparsity before, for metrics of successive rounds.
        networks: Other networks of the same sparsity, by a name.
        masks: Which weights live; found by themselves (the prunable weights that are not zero).
            A number is the option ``masks`` of LIME's metrics.
        others: Masks of other networks, by a name, for metrics that compare masks.
        profile: ``"default"``, or ``"paper"`` for the constants of the official code.
        **params: Options of the metric.

    Raises:
        UserError: An unknown metric or option, data that cannot be used, or an input the metric
            needs and that was not given.

    >>> import torch
    >>> images, labels = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])
    >>> flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> _ = nn.init.zeros_(flat[1].weight), nn.init.zeros_(flat[1].bias)
    >>> measure(flat, "accuracy", (images, labels)).value
    0.5
    """
    spec = METRICS.get(metric)
    if masks is not None and not isinstance(masks, Masks):
        params, masks = {**params, "masks": operator.index(masks)}, None
    full = options(spec, profile, params)
    given = providers(
        model,
        test,
        train=train,
        val=val,
        ood=ood,
        transfer=transfer,
        concepts=concepts,
        dense=dense,
        previous=previous,
        networks=networks,
        masks=masks,
        others=others,
    )
    return call(spec, given, full)


def providers(
    model: nn.Module,
    test: Data,
    *,
    train: Data | None = None,
    val: Data | None = None,
    ood: Mapping[str, Data] | None = None,
    transfer: Mapping[str, tuple[Data, Data]] | None = None,
    concepts: Mapping[str, Concepts] | None = None,
    dense: nn.Module | None = None,
    previous: nn.Module | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    masks: Masks | None = None,
    others: Mapping[str, Masks] | None = None,
) -> dict[str, Callable[..., Any]]:
    """What can be had from what was given; all but the test images waits until it is asked for."""
    images = as_images(test)
    sample = floats(images.pixels[:8])

    @cache
    def fast(network: nn.Module) -> nn.Module:
        return inference_copy(network, sample.to(device_of(network)))

    def predict(network: nn.Module, own: Images) -> Predictions:
        return Predictions(logits(fast(network), own.pixels), own.labels.cpu().numpy())

    @cache
    def corrupted(network: nn.Module) -> dict[str, tuple[Predictions, ...]]:
        return {
            kind: tuple(
                predict(network, Images(corrupt(images.pixels, kind, severity), images.labels))
                for severity in SEVERITIES
            )
            for kind in STANDARD
        }

    @cache
    def occluded(network: nn.Module, **options: Any) -> Occluded:
        return occlude(network, images, **options)

    def fitted(data: Data, split: str) -> Images:
        own = as_images(data, split)
        return fit(own, Task(*images.task_shape, classes=2)) if isinstance(data, str) else own

    found: dict[str, Callable[..., Any]] = {
        "logits": partial(predict, model, images),
        "model": lambda: copy.deepcopy(model).eval(),
        "test": lambda: images,
        "corrupted_logits": lambda: corrupted(model),
        "occluded_logits": partial(occluded, model),
        "concepts": lambda: concepts or {"own": own_concepts(images).informative()},
        "masks": lambda: masks if masks is not None else Masks.alive(model),
    }
    if train is not None:
        found["train"] = partial(as_images, train, "train")
    if val is not None:
        found["val"] = partial(as_images, val, "val")
        found["val_logits"] = lambda: predict(model, as_images(val, "val"))
    if ood is not None:
        found["ood_logits"] = lambda: {
            name: logits(fast(model), as_pixels(data, images)) for name, data in ood.items()
        }
        found["ood_classes"] = dict
    if transfer is not None:
        found["transfer"] = lambda: {
            name: (fitted(train, "train"), fitted(test, "test"))
            for name, (train, test) in transfer.items()
        }
    if others is not None:
        found["other_masks"] = lambda: others
    if previous is not None:
        found["previous_model"] = lambda: copy.deepcopy(previous).eval()
    if networks is not None:
        found["other_models"] = lambda: {k: copy.deepcopy(v).eval() for k, v in networks.items()}
    if dense is not None:
        found["dense_logits"] = partial(predict, dense, images)
        found["dense_occluded_logits"] = partial(occluded, dense)
        found["dense_model"] = lambda: copy.deepcopy(dense).eval()
        found["corruption_baseline"] = lambda: ErrorRates(
            _error(predict(dense, images)),
            {kind: tuple(map(_error, ladder)) for kind, ladder in corrupted(dense).items()},
        )
    return found


def _error(predictions: Predictions) -> float:
    return 1 - float(predictions.correct.mean())
