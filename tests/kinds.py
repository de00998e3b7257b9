"""The made-up metrics of the factory, with values such as a small network on digits has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scratchcard.contracts import Dimension, MetricSpec


@dataclass(frozen=True)
class Kind:
    """A made-up metric: its spec, the dense network's true value, and how it is sampled.

    ``sampled`` says what a reading carries: correctness (0 or 1) or a number per example,
    replicates, or only a standard error. ``sd`` is the spread over seeds, in the scale.
    """

    spec: MetricSpec
    dense: float
    sd: float
    sampled: Literal["correct", "examples", "replicates", "stderr"]
    wear: float = 1.0


def spec(
    name: str,
    title: str,
    dimension: Dimension,
    better: Literal["higher", "lower"] = "lower",
    margin: float | None = None,
    scale: Literal["linear", "log"] = "linear",
    unit: Literal["fraction", ""] = "fraction",
    needs: tuple[str, ...] = ("logits",),
    caution: str = "",
) -> MetricSpec:
    """A metric spec; it votes if it has a margin."""
    return MetricSpec(
        name=name,
        version=1,
        target=spec,
        parameters={},
        doc=f"{title} of a synthetic network.\n\nDefinition: a number drawn by the factory.",
        origin=f"tests.factory:{name}",
        title=title,
        dimension=dimension,
        better=better,
        unit=unit,
        needs=needs,
        headline=margin is not None,
        margin=margin,
        scale=scale,
        caution=caution,
    )


KINDS: dict[str, Kind] = {
    "accuracy": Kind(
        spec("accuracy", "Accuracy", "generalisation", "higher", 0.01), 0.95, 0.002, "correct"
    ),
    "ood-auroc": Kind(
        spec("ood-auroc", "OOD ROC-AUC", "generalisation", "higher", 0.01, needs=("ood_logits",)),
        0.91,
        0.003,
        "replicates",
    ),
    "mce": Kind(
        spec("mce", "mCE", "generalisation", margin=0.03, needs=("model", "test")),
        0.30,
        0.006,
        "replicates",
        wear=1.2,
    ),
    "nll": Kind(
        spec("nll", "NLL", "calibration", margin=0.05, scale="log", unit=""),
        0.18,
        0.01,
        "examples",
        wear=1.6,
    ),
    "ece": Kind(
        spec("ece", "ECE", "calibration", margin=0.01, caution="Depends on the bins."),
        0.025,
        0.002,
        "replicates",
        wear=0.8,
    ),
    "brier": Kind(
        spec("brier", "Brier score", "calibration", margin=0.01, unit=""), 0.08, 0.002, "examples"
    ),
    "fidelity": Kind(
        spec(
            "fidelity",
            "LIME fidelity",
            "interpretability",
            "higher",
            0.10,
            "log",
            needs=("model", "test"),
            caution="Raw fidelity rewards weak models.",
        ),
        0.55,
        0.02,
        "examples",
        wear=0.5,
    ),
    "hessian-trace": Kind(
        spec(
            "hessian-trace",
            "Hessian trace",
            "landscape",
            margin=0.25,
            scale="log",
            unit="",
            needs=("model", "train"),
        ),
        420.0,
        0.05,
        "stderr",
    ),
    "churn": Kind(
        spec("churn", "Churn", "generalisation", needs=("logits", "dense_logits")),
        0.04,
        0.003,
        "examples",
    ),
    "mask-overlap": Kind(
        spec("mask-overlap", "Mask overlap", "efficiency", "higher", needs=("masks",)),
        0.4,
        0.01,
        "examples",
    ),
    "class-gap": Kind(
        spec("class-gap", "Worst class gap", "fairness"), 0.06, 0.004, "replicates", wear=3.0
    ),
}
PANEL = ("accuracy", "ood-auroc", "mce", "nll", "ece", "brier", "churn", "class-gap")
"""Two voting dimensions, and a pair metric and a fairness metric beside them."""
