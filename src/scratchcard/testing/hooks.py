"""What methods may do beside choosing masks: begin with other weights, update masks, wait."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from scratchcard.contracts import Context, Moment, Step, UserError
from scratchcard.masks import Masks
from scratchcard.seeds import torch_stream
from scratchcard.testing.cases import KINDS, TASK, Case, Subject, bits, drawn, untouched
from scratchcard.testing.data import example_splits

TRAININGS = ((48, 12), (5, 2))
"""Steps of the trainings in which updates are tried, in all and an epoch."""


def check_begin(subject: Subject, case: Case) -> None:
    """Weights to start from are changed in place, by the generator alone, and nothing else is."""
    where = f"{subject.spec.name}, on {case.title}"
    masks = drawn(Masks.ones(case.network(), KINDS), 0.5)
    begun = []
    for seed in (0, 0, 1):
        model = case.network()
        ctx = case.context(subject, model, masks, 0.5, seed, masks if subject.method.of else None)
        with untouched(where, ctx, "beginning", but="parameters or buffers"):
            subject.fresh().begin(ctx)
        wrong = [n for n, value in model.state_dict().items() if not value.isfinite().all()]
        assert not wrong, f"{where}: it begins with {', '.join(wrong)} that are not numbers"
        begun.append(bits(model.state_dict()))
    shapes = {n: v.shape for n, v in case.network().state_dict().items()}
    assert {n: v.shape for n, v in model.state_dict().items()} == shapes, (
        f"{where}: it begins with parameters of other names or shapes"
    )
    assert begun[0] == begun[1], f"{where}: the same seed begins with other weights"
    assert begun[0] != bits(case.network().state_dict()), f"{where}: begin() changes nothing"


def check_watches(subject: Subject, case: Case) -> None:
    """The steps rise, and what is settled at one of them stays so whatever comes after."""
    name, method = subject.spec.name, subject.method
    steps = [Step.parse(step).iterations(per_epoch=100, total=1000) for step in method.watches]
    assert steps == sorted(set(steps)), f"{name}: the steps it watches do not rise"
    for what, step in (("scored_at", method.scored_at), ("starts_from", method.starts_from)):
        assert step in method.watches, f"{name}: {what} is {step!r}, which it does not watch"
    ones = Masks.ones(case.network(), KINDS)
    found = [
        method.start(case.context(subject, case.network(), ones, sparsity))
        for sparsity in (0.2, 0.8)
    ]
    for pattern in ((0, 0, 0, 0), (0, 1, 0, 1), (0, 1, 1, 1)):
        chosen = [found[pattern[k % 4]] for k in range(len(steps))]
        settled = None
        for seen in range(1, len(steps) + 1):
            prefix = chosen[:seen]
            answer = method.settled(prefix)
            assert prefix == chosen[:seen], f"{name}: settled() changes what it is given"
            assert answer is None or 0 <= answer < seen, (
                f"{name}: settled() answers {answer} when {seen} steps were seen"
            )
            assert settled in (None, answer), (
                f"{name}: settled() answers {settled}, and later {answer}"
            )
            settled = answer


def check_updates(subject: Subject, case: Case) -> None:
    """Ask for updates at every step of a long training, and of one of a few steps."""
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    for device in devices:
        for total, per_epoch in TRAININGS:
            _train(subject, case, total, per_epoch, device)


def _train(subject: Subject, case: Case, total: int, per_epoch: int, device: str) -> None:
    name, method = subject.spec.name, subject.method
    (target,) = subject.ladder(0.8)
    model, batches = case.network(device=device), _batches(device)
    begun = method.start(case.context(subject, model, Masks.ones(model, KINDS).to("cpu"), target))
    assert isinstance(begun, Masks), f"{name}: start() gives {type(begun).__name__}, not Masks"
    masks, wanted = begun.to(device), begun.count_at(target)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.05, momentum=0.9)
    looked = False
    with masks.attach(model, optimizer) as guard:
        for step in range(total):
            where = f"{name}, at step {step} of {total}"
            optimizer.zero_grad()
            images, labels = next(batches)
            torch.autograd.backward(nn.functional.cross_entropy(model(images), labels))
            moment = Moment(step, per_epoch, total)
            ctx = Context(model, masks, target, torch_stream(0, "prune", step))
            answer = _asked(subject, ctx, moment, where)
            if answer is not None:
                _check_answer(answer, masks, wanted, begun.kept == wanted, where)
                if answer != masks and not looked:
                    looked = True
                    _check_numbers(subject, ctx, moment, answer)
                guard.switch(answer)
                masks = answer
            if answer is None or not method.replaces_step:
                guard.mask_gradients()
                optimizer.step()
            masks.check(model)
    assert masks.kept == wanted, (
        f"{name}: after a training of {total} steps it keeps {masks.kept} weights, not {wanted}"
    )


def _batches(device: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    data = example_splits(TASK).train
    images, labels = data.floats(), data.labels
    stream = torch_stream(0, "check_method", "batches")
    while True:
        noise = torch.rand(images.shape, generator=stream)
        yield ((images + noise) / 2).to(device), labels.to(device)


def _asked(subject: Subject, ctx: Context, moment: Moment, where: str) -> Masks | None:
    """The answer, having checked that it changes nothing and rests on nothing but its context."""
    with untouched(where, ctx, "an update"):
        answer = subject.method.update(ctx, moment)
    again = subject.fresh().update(_twin(ctx, moment), moment)
    assert answer == again, (
        f"{where}: asked again, made anew and on a copy of the network, it answers otherwise; "
        "a run that is resumed would not be the same"
    )
    return answer


def _twin(ctx: Context, moment: Moment) -> Context:
    """The same context with a copy of the network, gradients included, and its generator anew."""
    model = copy.deepcopy(ctx.model)
    for one, other in zip(ctx.model.parameters(), model.parameters(), strict=True):
        other.grad = None if one.grad is None else one.grad.clone()
    return replace(ctx, model=model, generator=torch_stream(0, "prune", moment.step))


def _check_answer(answer: Masks, masks: Masks, wanted: int, sparse: bool, where: str) -> None:
    """Masks of the same weights in the same place, never too few.

    A method that starts as sparse as it shall be has to stay so.
    """
    assert isinstance(answer, Masks), f"{where}: it answers {type(answer).__name__}, not Masks"
    assert answer.shapes() == masks.shapes(), (
        f"{where}: its masks are not those of the prunable weights"
    )
    moved = [name for name in masks if answer[name].device != masks[name].device]
    assert not moved, f"{where}: it leaves the masks of {', '.join(moved)} on another device"
    fits = answer.kept == wanted if sparse else answer.kept >= wanted
    assert fits, (
        f"{where}: it keeps {answer.kept} weights, not {'' if sparse else 'at least '}{wanted}"
    )


def _check_numbers(subject: Subject, ctx: Context, moment: Moment, answer: Masks) -> None:
    """Weights and gradients that are not numbers are refused, if they are looked at."""
    stream = torch_stream(0, "check_method", "numbers")
    for what in ("weights", "gradients"):
        for broken in (False, True):
            twin = _twin(ctx, moment)
            for name, mask in ctx.masks.items():
                weight = twin.model.get_parameter(name)
                values = weight.detach() if what == "weights" else weight.grad
                assert values is not None, "the network was trained"
                others = torch.randn(values.shape, generator=stream).to(values.device)
                values.copy_(others * mask if what == "weights" else others)
                if broken:
                    values[mask] = torch.nan
            if not broken and subject.method.update(twin, moment) == answer:
                break
            if broken:
                _check_refusal(subject, twin, moment, what)


def _check_refusal(subject: Subject, ctx: Context, moment: Moment, what: str) -> None:
    try:
        subject.method.update(ctx, moment)
    except UserError:
        return
    raise AssertionError(
        f"{subject.spec.name}: it updates by {what} that are not numbers; raise a UserError"
    )
