"""What methods are tried on: small networks, what is seen of them, and what must not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import Architecture, Context, Method, MethodSpec, Task
from scratchcard.masks import Masks
from scratchcard.registry import MODELS
from scratchcard.seeds import torch_stream
from scratchcard.testing.data import example_splits

TASK = Task(1, 8, 8, 3)
KINDS = ("conv", "linear")


@dataclass(frozen=True)
class Subject:
    """The method that is tried, and the options to make another one like it."""

    spec: MethodSpec
    method: Method
    options: Mapping[str, Any]

    def fresh(self) -> Method:
        """The same method anew, as every stage of a study makes it."""
        made: Method = self.spec.target(**self.options)
        return made

    def ladder(self, *sparsities: float) -> tuple[float, ...]:
        """The sparsities that it visits where a study has these."""
        return self.method.ladder(sparsities)


@dataclass(frozen=True)
class Case:
    """A network to try methods on.

    Attributes:
        title: In messages.
        target: Builds it for ``TASK``.
        architecture: Where it comes from; None if it is the user's own, who then shows images.
        sparsities: What it is pruned to.
    """

    title: str
    target: Callable[[Task], nn.Module]
    architecture: Architecture | None
    sparsities: tuple[float, ...]

    def network(self, seed: int = 0, device: str = "cpu") -> nn.Module:
        """The network, with gradients left from elsewhere.

        It is in evaluation mode, as in a study, but for one module that a careless method misses.
        """
        network = models.initialise(self.target, TASK, {}, seed).to(device)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        network.eval()
        next(network.children()).train()
        return network

    def context(
        self,
        subject: Subject,
        model: nn.Module,
        masks: Masks,
        sparsity: float,
        seed: int = 0,
        other: Masks | None = None,
    ) -> Context:
        """What the method sees: images only if it needs them, or nobody knows their shape."""
        place = next(model.parameters()).device
        shown = subject.spec.needs_data or self.architecture is None
        data = example_splits(TASK).train
        return Context(
            model=model,
            masks=masks,
            sparsity=sparsity,
            generator=torch_stream(seed, "check_method"),
            images=data.floats().to(place) if shown else None,
            labels=data.labels.to(place) if shown else None,
            other=other,
            architecture=self.architecture,
        )


def drawn(masks: Masks, sparsity: float) -> Masks:
    """Masks of the same weights that keep some by lot, exactly as many as they should."""
    stream = torch_stream(0, "check_method", "drawn")
    order = torch.randperm(masks.total, generator=stream)
    flat = order < masks.count_at(sparsity)
    layers = torch.split(flat, [mask.numel() for mask in masks.values()])
    named = zip(masks.items(), layers, strict=True)
    return Masks({name: layer.reshape(mask.shape) for (name, mask), layer in named})


def _registered(title: str, sparsities: tuple[float, ...], kind: str, **options: Any) -> Case:
    every = {name: default for name, (_, default) in MODELS.get(kind).parameters.items()} | options

    def build(task: Task) -> nn.Module:
        network: nn.Module = MODELS.get(kind).target(task, **every)
        return network

    return Case(title, build, Architecture(kind, TASK, every), sparsities)


def _odd(task: Task) -> nn.Module:
    """Convolutions in groups, one of them depth-wise, with biases, and a weight that is shared."""
    body = (
        *(nn.Conv2d(task.channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        *(nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6, bias=False)),
    )
    first, second = nn.Linear(24, 24), nn.Linear(24, 24)
    second.weight = first.weight
    head = (nn.Dropout(0.5), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(24, task.classes))
    return nn.Sequential(*body, nn.Flatten(), *head)


def cases() -> tuple[Case, ...]:
    """The networks; on the first, every method must work, the others it may refuse."""
    return (
        _registered(
            "a residual network", (0.0, 0.5904), "cifar-resnet", depth=8, width=2, shortcut="B"
        ),
        Case("a network with grouped and shared weights", _odd, None, (0.95,)),
        _registered(
            *("a transformer", (0.7,), "vit"), patch=4, dim=4, depth=1, heads=2, mlp_ratio=2.0
        ),
    )


@contextmanager
def untouched(where: str, ctx: Context, what: str, *, but: str = "") -> Iterator[None]:
    """Assert that the block leaves everything as it was.

    Args:
        where: Begins the message.
        ctx: What the block sees.
        what: Who would be to blame, such as ``"scoring"``.
        but: What may change, out of the keys of ``_state``.
    """
    before = _state(ctx)
    yield
    for (kind, old), new in zip(before.items(), _state(ctx).values(), strict=True):
        assert old == new or kind == but, f"{where}: {what} changes {kind}"


def _state(ctx: Context) -> dict[str, Any]:
    """What a method must not change, in a form that ``==`` compares to the last bit."""
    model = ctx.model
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    data = {"images": ctx.images, "labels": ctx.labels}
    return {
        "which parameters the network has": {n: id(p) for n, p in parameters.items()},
        "parameters or buffers": bits({**parameters, **dict(model.named_buffers())}),
        "gradients": bits({name: p.grad for name, p in parameters.items()}),
        "what needs gradients": [p.requires_grad for p in parameters.values()],
        "the mode": [module.training for module in modules.values()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules.values()],
        "the masks it is given": bits(ctx.masks),
        "the other method's masks": bits(ctx.other or {}),
        "its images or labels": bits(data),
        "torch's random numbers": (
            torch.get_rng_state().tolist(),
            torch.cuda.get_rng_state().tolist() if torch.cuda.is_available() else None,
        ),
    }


def bits(tensors: Mapping[str, torch.Tensor | None]) -> dict[str, bytes | None]:
    """The bytes of each tensor, so that even what is not a number equals itself."""
    return {
        name: None if value is None else value.detach().cpu().contiguous().numpy().tobytes()
        for name, value in tensors.items()
    }
