"""A conformance suite for pruning methods: exact counts, nothing revived, nothing changed."""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import Any

import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import Context, Narrower, Step, UserError
from scratchcard.masks import Masks, prunable
from scratchcard.registry import METHODS
from scratchcard.structure import Channels
from scratchcard.study import Training
from scratchcard.testing.cases import KINDS, TASK, Case, Subject, cases, drawn, untouched
from scratchcard.testing.hooks import check_begin, check_updates, check_watches

Chosen = Masks | Channels | Narrower

SECTIONS = ("Definition", "Formula", "Use", "Limits", "Source")
"""What the docstring of every method holds, beside its first line and its options."""


def check_method(name: str, **options: Any) -> None:
    """Check that a pruning method keeps the promises of ``scratchcard.contracts.Method``.

    It must be documented, options included. In all its rounds, at several sparsities and on
    several networks, it must keep exactly the right number of weights, revive none, repeat itself
    for the same seed, work for another, refuse weights that are not numbers, and leave the network
    it scores and torch's random numbers as they were. A smaller network must have the weights it
    says. A dynamic method is trained with for a while: what it answers must depend on network,
    masks, generator and moment alone, and end at exactly the right count. The first network is a
    residual one, of convolutions and BatchNorm; grouped convolutions, shared weights and attention
    may be refused by a ``UserError``.

    Args:
        name: Its registered name.
        **options: Its own; of a control, any ``of``.

    Raises:
        AssertionError: Saying which of these does not hold.
    """
    spec = METHODS.get(name)
    subject = Subject(spec, spec.target(**options), options)
    _check_docstring(subject)
    _check_times(subject)
    _check_recipe(subject)
    first, *others = cases()
    for case in (first, *(case for case in others if not _refuses(subject, case))):
        _check_start(subject, case, KINDS)
    _check_start(subject, first, ("conv",))
    _check_numbers(subject, first, _check_seeds(subject, first))
    if subject.method.watches:
        check_watches(subject, first)
    if subject.method.does("begin"):
        check_begin(subject, first)
    if subject.method.does("update"):
        check_updates(subject, first)
    if torch.cuda.is_available():
        _check_start(subject, first, KINDS, device="cuda")


def _check_docstring(subject: Subject) -> None:
    spec = subject.spec
    # A dataclass without a docstring is given its signature.
    own = spec.summary and not spec.doc.startswith(f"{spec.target.__name__}(")
    assert own, f"{spec.name}: it has no docstring"
    assert spec.title, f"{spec.name}: it has no title"
    headings = re.split(r"^([A-Z]\w+):[ \t]*$|^([A-Z]\w+):[ \t]+(?=\S)", spec.doc, flags=re.M)
    found: dict[str, str] = {}
    for long, short, text in zip(headings[1::3], headings[2::3], headings[3::3], strict=True):
        found[long or short] = text
    missing = [heading for heading in SECTIONS if not found.get(heading, "").strip()]
    assert not missing, f"{spec.name}: its docstring lacks {', '.join(missing)}"
    told = set(re.findall(r"^ {4}(\w+): +\S", found.get("Options", ""), flags=re.M))
    for what, names in (
        ("leaves out", set(spec.parameters) - told),
        ("explains what is none:", told - set(spec.parameters)),
    ):
        assert not names, f"{spec.name}: its docstring's Options {what} {', '.join(sorted(names))}"


def _check_times(subject: Subject) -> None:
    """When it scores and starts, and what it is made of."""
    name, method, when = subject.spec.name, subject.method, subject.spec.when
    params = getattr(method, "__dataclass_params__", None)
    assert params is not None, f"{name}: it is not a dataclass"
    assert params.frozen, f"{name}: its dataclass is not frozen"
    scored = Step.parse(method.scored_at)
    if method.starts_from or not method.of:
        Step.parse(method.starts_from)
    assert method.weights in ("rewound", "trained"), f"{name}: weights is {method.weights!r}"
    assert when != "before" or scored.value == 0, (
        f'{name}: it is to prune before training, but scores the network of "{method.scored_at}"'
    )
    assert when != "after" or scored.value > 0, (
        f"{name}: it is to prune after training, but scores the network at its start"
    )
    assert method.gives == "masks" or not method.does("update"), (
        f"{name}: only masks can be updated, but it gives {method.gives}"
    )


def _check_recipe(subject: Subject) -> None:
    """The recipe is another one that trains, and the one it was given stays as it is."""
    name = subject.spec.name
    stepped = {"schedule": "step", "milestones": ["1ep", "0.75"], "gamma": 0.2, "warmup": "2it"}
    for extra in ({"schedule": "cosine"}, {**stepped, "weight_decay": 5e-4}):
        given = {"epochs": 4, "lr": 0.1, **extra}
        before = copy.deepcopy(given)
        for sparsity in subject.ladder(0.0, 0.95):
            made = subject.method.recipe(given, sparsity)
            assert given == before, f"{name}: recipe() changes the recipe that it is given"
            try:
                Training(**made)
            except ValueError as error:
                raise AssertionError(f"{name}: recipe() makes no recipe: {error}") from error


def _refuses(subject: Subject, case: Case) -> bool:
    """Whether the method says in words that such a network is not for it."""
    (sparsity,) = subject.ladder(0.0)
    try:
        _chosen(subject, case, Masks.ones(case.network()), sparsity)
    except UserError:
        return True
    return False


def _check_start(subject: Subject, case: Case, kinds: tuple[str, ...], device: str = "cpu") -> None:
    """Every sparsity, and every round on the way to it."""
    name, method = subject.spec.name, subject.method
    ones = Masks.ones(case.network(), kinds)
    target = -1.0
    for target in subject.ladder(*case.sparsities):
        rounds = method.rounds(target)
        assert rounds[-1] == target, f"{name}: the rounds for {target} end at {rounds[-1]}"
        assert list(rounds) == sorted(set(rounds)), f"{name}: its rounds do not rise: {rounds}"
        if method.gives != "masks":
            _check_smaller(subject, case, ones, target, device)
            continue
        masks = ones
        for number, sparsity in enumerate(rounds):
            masks = _check_round(subject, case, masks, sparsity, number, device)
    assert target >= 0, f"{name}: its ladder is empty"
    if method.gives == "masks" and not method.of:
        (further,) = subject.ladder((1 + target) / 2)
        _check_round(subject, case, masks, further, len(rounds), device)


def _check_round(
    subject: Subject, case: Case, masks: Masks, sparsity: float, number: int, device: str
) -> Masks:
    """One round, on a network and a seed of its own, as if there had been a training between."""
    where = f"{subject.spec.name}, on {case.title}, at sparsity {sparsity:g}"
    found = _chosen(subject, case, masks, sparsity, seed=number, number=number, device=device)
    assert isinstance(found, Masks), f"{where}: start() gives {type(found).__name__}, not Masks"
    assert found.shapes() == masks.shapes(), (
        f"{where}: its masks are not those of the prunable weights"
    )
    places = {str(mask.device) for mask in found.values()}
    assert places == {"cpu"}, f"{where}: its masks are on {', '.join(places)}, not on the CPU"
    revived = sum(int((found[layer] & ~masks[layer]).sum()) for layer in masks)
    assert revived == 0, f"{where}: it revives {revived} weights that were cut before"
    wanted = subject.method.keeps(masks, sparsity)
    if (other := _other(subject, masks)) is not None:
        wanted = other.kept
    assert found.kept == wanted, (
        f"{where}: it keeps {found.kept} of {found.total} weights, not {wanted}"
    )
    assert Masks.unpack(found.pack(), found.shapes()) == found, f"{where}: storage changes them"
    assert found.to(device).to("cpu") == found, f"{where}: {device} and back changes them"
    return found


def _check_smaller(subject: Subject, case: Case, ones: Masks, sparsity: float, device: str) -> None:
    """The network that is really smaller has as many weights as it says."""
    where = f"{subject.spec.name}, on {case.title}, at sparsity {sparsity:g}"
    found = _chosen(subject, case, ones, sparsity, device=device)
    wanted: type = {"channels": Channels, "narrower": Narrower}[subject.method.gives]
    told = f"{where}: start() gives {type(found).__name__}, not {wanted.__name__}"
    assert isinstance(found, wanted), told
    assert not isinstance(found, Masks), told
    assert found.total == ones.total, f"{where}: it counts {found.total} weights of {ones.total}"
    model = case.network(device=device)
    kinds = [kind for kind in KINDS if prunable(model, [kind]).keys() <= ones.keys()]
    if isinstance(found, Channels):
        assert Channels.from_json(found.to_json()) == found, f"{where}: JSON changes the channels"
        found.apply_(model)
    else:
        assert case.architecture is not None, "refused above"
        kind, options = case.architecture.kind, case.architecture.options
        assert found.options.keys() == options.keys(), f"{where}: it gives other options"
        model = models.build(kind, TASK, found.options, seed=0).eval()
    left = Masks.ones(model, kinds).total
    assert left == found.left, f"{where}: {left} weights are left, not {found.left}"
    assert sparsity > 0 or left == ones.total, f"{where}: it cuts {ones.total - left} weights"
    place = next(model.parameters()).device
    logits = model(torch.zeros(2, TASK.channels, TASK.height, TASK.width, device=place))
    assert logits.shape == (2, TASK.classes), f"{where}: logits have the shape {logits.shape}"


def _check_seeds(subject: Subject, case: Case) -> Chosen:
    """What a seed gives: the same again, also of the method made anew; of another, as much."""
    (sparsity,) = subject.ladder(0.5904)
    ones = Masks.ones(case.network())
    where = f"{subject.spec.name}, on {case.title}, at sparsity {sparsity:g}"
    one, two, other = (_chosen(subject, case, ones, sparsity, seed=seed) for seed in (0, 0, 1))
    assert one == two, f"{where}: the same seed gives other masks"
    anew = dataclasses.replace(subject, method=subject.fresh())
    assert one == _chosen(anew, case, ones, sparsity), (
        f"{where}: the same method made anew gives other masks"
    )
    if isinstance(one, Masks) and isinstance(other, Masks):
        assert one.kept == other.kept, f"{where}: another seed keeps {other.kept}, not {one.kept}"
    return one


def _check_numbers(subject: Subject, case: Case, found: Chosen) -> None:
    """A weight that is not a number is refused by a method that looks at weights.

    ``found`` is what it chooses on the network of seed 0.
    """
    (sparsity,) = subject.ladder(0.5904)
    ones = Masks.ones(case.network())
    model, other = case.network(0), case.network(1)
    with torch.no_grad():
        for name in ones:
            model.get_parameter(name).copy_(other.get_parameter(name))
    if subject.method.start(_shown(subject, case, model, ones, sparsity)) == found:
        return
    with torch.no_grad():
        model.get_parameter(next(iter(ones))).view(-1)[0] = torch.nan
    try:
        subject.method.start(_shown(subject, case, model, ones, sparsity))
    except UserError:
        return
    raise AssertionError(
        f"{subject.spec.name}: it scores a weight that is not a number as if it were one; "
        "raise a UserError"
    )


def _chosen(
    subject: Subject,
    case: Case,
    masks: Masks,
    sparsity: float,
    *,
    seed: int = 0,
    number: int = 0,
    device: str = "cpu",
) -> Chosen:
    """What the method starts with, having checked that scoring changes nothing."""
    model = case.network(number, device)
    masks.apply_(model)
    ctx = _shown(subject, case, model, masks, sparsity, seed)
    with untouched(f"{subject.spec.name}, on {case.title}", ctx, "scoring"):
        return subject.method.start(ctx)


def _shown(
    subject: Subject, case: Case, model: nn.Module, masks: Masks, sparsity: float, seed: int = 0
) -> Context:
    return case.context(subject, model, masks, sparsity, seed, _other(subject, masks))


def _other(subject: Subject, masks: Masks) -> Masks | None:
    """The masks of another method, whose count is not that of the sparsity asked for."""
    return drawn(masks, 0.4) if subject.method.of else None
