"""Architectures, one a file, and how one is built with reproducible initial weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from scratchcard import seeds
from scratchcard.contracts import Task
from scratchcard.registry import MODELS, check_options

__all__ = ["build", "initialise"]


def build(kind: str, task: Task, params: Mapping[str, Any], seed: int) -> nn.Module:
    """A registered architecture for ``task``, on the CPU; the same seed gives the same weights.

    Args:
        kind: Its name, such as ``"lenet"``.
        task: What it must fit.
        params: Options that differ from their defaults.
        seed: Of the study; the draws use their own stream of it.

    Raises:
        UserError: For an unknown name or option, or a task that the architecture cannot fit.
    """
    spec = MODELS.get(kind)
    check_options("model", spec, params)
    return initialise(spec.target, task, params, seed)


def initialise(
    target: Callable[..., nn.Module], task: Task, params: Mapping[str, Any], seed: int
) -> nn.Module:
    """Call ``target(task, **params)`` under the seed's draws; global state stays as it was."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seeds.derive(seed, "init"))
        return target(task, **params)
