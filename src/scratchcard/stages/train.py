"""The stage ``train``: a network from the start of its training, or a checkpoint, to a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scratchcard.contracts import Context, Method, Moment
from scratchcard.data.base import Images
from scratchcard.graph import Stage
from scratchcard.masks import Masks
from scratchcard.seeds import torch_stream
from scratchcard.stages.work import Outcome, Work, described, stock
from scratchcard.structure import Channels
from scratchcard.study import Training
from scratchcard.training import Clock, Trainee, optimizer_of, train


def train_network(work: Work) -> Outcome:
    """From the start, or the last checkpoint of the same trajectory, to ``step``."""
    params, images = work.stage.params, work.images("train")
    recipe = Training(**params["recipe"])
    clock = Clock(recipe, len(images))
    until = clock.at(params["step"])
    found = work.store.result(work.input("mask")) if "mask" in work.stage.inputs else {}
    method = work.method(params["method"]) if "method" in params else None
    trainee, spec = _ready(work, found, clock, method)
    begin = trainee.step
    _go_on(work, trainee, until)
    train(
        trainee,
        images,
        recipe,
        seed=params["seed"],
        until=until,
        update=_updater(work, trainee, method, clock),
        replaces_step=method is None or method.replaces_step,
        checkpoint=work.store.scratch(work.stage.digest) / "checkpoint",
        tick=work.tick,
    )
    seen = max(until - begin, 0) * min(recipe.batch_size, len(images))
    result = {
        "spec": spec,
        "trajectory": _trajectory(work.stage),
        "progress": trainee.progress(),
        "earlier_seconds": trainee.earlier,
        "images": seen,
        "flops": 3 * seen * _forward_flops(trainee.model, images),
        "parameters": sum(p.numel() for p in trainee.model.parameters()),
    }
    arrays = {"weights": {name: value.numpy() for name, value in trainee.arrays().items()}}
    if trainee.masks is not None:
        trainee.masks.check(trainee.model)
        if method is not None and method.does("update"):
            wanted = trainee.masks.count_at(params["method"]["sparsity"])
            assert trainee.masks.kept == wanted, f"{trainee.masks!r} does not keep {wanted}"
            about, packed = described(trainee.masks)
            return {**result, **about}, {**arrays, "masks": packed}
    return result, arrays


def _go_on(work: Work, trainee: Trainee, until: int) -> None:
    """Take up the latest checkpoint of the same trajectory that is not beyond ``until``."""
    for earlier in work.stage.after:
        progress = work.store.result(earlier)["progress"]
        if trainee.step <= progress["step"] <= until:
            arrays = work.store.arrays(earlier, "weights").items()
            trainee.restore({k: torch.from_numpy(v) for k, v in arrays}, progress)


def _ready(
    work: Work, found: Mapping[str, Any], clock: Clock, method: Method | None
) -> tuple[Trainee, dict[str, Any]]:
    """What training starts with, and the spec from which the network can be built again.

    ``found`` is the result of the mask stage: a smaller network is made, or shrunk, before any
    optimiser sees it. A ticket takes the weights and buffers of the step it starts from, and its
    place in schedule and data order; momentum is empty.
    """
    params = work.stage.params
    recipe = Training(**params["recipe"])
    spec = {
        "model": params["model"],
        "task": work.store.result(work.input("data"))["task"],
        "seed": params["seed"],
        "recipe": params["recipe"],
    }
    role = f"start.{found['settled']}" if "settled" in found else "start"
    if role not in work.stage.inputs:
        if "options" in found:
            spec["model"] = {**params["model"], "options": found["options"]}
        model, step = stock(spec, work.device), 0
    else:
        model = work.network(role)
        step = int(work.store.result(work.input(role))["progress"]["step"])
    if "kept_channels" in found:
        spec["kept_channels"] = found["kept_channels"]
        Channels.from_json(found["kept_channels"]).apply_(model)
    if "from" in params:
        step = clock.at(params["from"])
    masks = work.masks("mask").to(work.device) if "shapes" in found else None
    if method is not None and method.does("begin"):
        method.begin(_context(work, model, masks, "start"))
    return Trainee(model, optimizer_of(model, recipe), step=step, masks=masks), spec


def _updater(
    work: Work, trainee: Trainee, method: Method | None, clock: Clock
) -> Callable[[], Masks | None] | None:
    """What the training loop asks after each backward pass; None if masks stay as they are."""
    if method is None or not method.does("update"):
        return None
    target, seed = work.stage.params["method"]["sparsity"], work.stage.params["seed"]

    def update() -> Masks | None:
        assert trainee.masks is not None, "a dynamic method begins with masks"
        stream = torch_stream(seed, "prune", trainee.step)
        context = Context(trainee.model, trainee.masks, target, stream)
        return method.update(context, Moment(trainee.step, clock.per_epoch, clock.total))

    return update


def _context(work: Work, model: nn.Module, masks: Masks | None, role: str) -> Context:
    """What a method sees that changes the weights a ticket starts from."""
    assert masks is not None, "only masked tickets start from other weights"
    params = work.stage.params
    stream = torch_stream(params["seed"], "begin")
    target = params["method"]["sparsity"]
    return Context(model, masks, target, stream, architecture=work.architecture(role))


def _trajectory(stage: Stage) -> str:
    """The digest of a training stage without its step: checkpoints of one run share it."""
    params = {k: v for k, v in stage.params.items() if k != "step"}
    return Stage(stage.kind, stage.version, params, stage.inputs).digest


@torch.no_grad()
def _forward_flops(model: nn.Module, images: Images) -> int:
    """Multiplications and additions of one image's forward pass, of the dense arithmetic."""
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(images.take(torch.arange(1)).floats())
    return int(counter.get_total_flops())
