"""One data set, model and seed: the dense twin, its tickets and their readings, as stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scratchcard import registry
from scratchcard.contracts import Method, Step
from scratchcard.graph import Network
from scratchcard.plan.budget import shared
from scratchcard.plan.builder import Builder, identity
from scratchcard.study import Choice, Training

Checkpoints = Mapping[str, str]
"""Steps of a trajectory, as a method spells them, to digests."""


@dataclass(frozen=True)
class _Ticket:
    """A method at one sparsity, and where its network and mask will be.

    ``mask`` is the stage that holds the final mask: of a dynamic method, the training itself.
    """

    label: str
    target: float
    weights: str
    mask: str


class Twins:
    """Plans the networks that share data set, model and seed."""

    def __init__(
        self,
        builder: Builder,
        data: str,
        model: Choice,
        seed: int,
        images: str,
        ood: Mapping[str, str],
    ) -> None:
        self.builder, self.study = builder, builder.study
        self.data, self.model, self.seed, self.images, self.ood = data, model, seed, images, ood
        self.where = f"{data} · {model.label} · seed {seed}"
        self.methods = {label: _made(c) for label, c in self.study.methods.items()}

    def plan(self) -> None:
        """Add every stage."""
        dense = self._dense()
        twin = dense[self.study.training]["end"]
        tickets: dict[tuple[str, float], _Ticket] = {}
        # Controls come last, because they take the finished mask of another method.
        for label in sorted(self.methods, key=lambda name: self.methods[name].of is not None):
            for target in self._ladder(label):
                other = tickets.get((self.methods[label].of or "", target))
                checkpoints = dense[self._recipe(label, target)]
                tickets[label, target] = self._ticket(label, target, checkpoints, other)
        self._network("dense", 0.0, twin, None, twin)
        for label in self.methods:
            for target in self._ladder(label):
                ticket = tickets[label, target]
                others = {
                    t.label: t.mask
                    for t in tickets.values()
                    if t.target == target and t.label != label
                    if self.methods[t.label].gives == "masks"
                }
                self._network(label, target, ticket.weights, ticket.mask, twin, others)

    def _ladder(self, label: str) -> tuple[float, ...]:
        """The sparsities of a method; a control visits those of the method it looks at."""
        method = self.methods[label]
        source = self.methods[method.of] if method.of is not None else method
        return source.ladder(self.study.ladder.sparsities)

    def _recipe(self, label: str, target: float) -> Training:
        """The recipe under which a method trains, shortened where budgets shall be equal."""
        training = self.study.training
        if not self.study.equal_budget:
            return training
        method = self.methods[self.methods[label].of or label]
        epochs = shared(method, target, _spelled(training))
        return training if epochs == training.epochs else training.with_epochs(epochs)

    def _dense(self) -> dict[Training, Checkpoints]:
        """Dense training under each recipe, with a checkpoint wherever a method wants one."""
        wanted: dict[Training, set[str]] = {self.study.training: {"end"}}
        for label, method in self.methods.items():
            for target in self._ladder(label):
                steps = {method.scored_at, self._start(label), *method.watches}
                wanted.setdefault(self._recipe(label, target), set()).update(steps)
        return {recipe: self._train("dense", recipe, {}, steps) for recipe, steps in wanted.items()}

    def _start(self, label: str) -> str:
        """Where a ticket begins; a control may leave that to the method it looks at."""
        method = self.methods[label]
        return method.starts_from or self.methods[method.of or label].starts_from

    def _train(
        self,
        name: str,
        recipe: Training,
        inputs: Mapping[str, str],
        steps: Iterable[str],
        params: Mapping[str, Any] | None = None,
    ) -> Checkpoints:
        """Stages of one trajectory, each going on from the one before."""
        spec = registry.MODELS.get(self.model.kind)
        spelling = {step: _spelling(step, recipe.epochs) for step in steps}
        digests: dict[str, str] = {}
        for text in sorted(set(spelling.values()), key=lambda s: _position(s, recipe.epochs)):
            digests[text] = self.builder.add(
                "train",
                spec,
                {
                    "model": identity(spec, self.model.params),
                    "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
                    "seed": self.seed,
                    "step": text,
                    **(params or {}),
                },
                {"data": self.images, **inputs},
                after=tuple(digests.values()),
                label=f"{name} · {self.where} · train to {text}",
                cost=3 * _position(text, recipe.epochs),
            )
        return digests | {step: digests[text] for step, text in spelling.items()}

    def _ticket(
        self, label: str, target: float, dense: Checkpoints, other: _Ticket | None
    ) -> _Ticket:
        """Rounds of mask and training."""
        method, choice = self.methods[label], self.study.methods[label]
        spec = registry.METHODS.get(choice.kind)
        recipe = self._recipe(label, target)
        scored = _numbered("network", method.watches, dense) or {"network": dense[method.scored_at]}
        rewound = _numbered("start", method.watches, dense) or {"start": dense[self._start(label)]}
        masks = {} if other is None else {"other": other.mask}
        data = {"data": self.images} if spec.needs_data else {}
        rounds = method.rounds(target)
        for sparsity in rounds:
            name = f"{label} {sparsity:.1%}"
            method_id = {**identity(spec, choice.params), "sparsity": sparsity}
            narrower = {"model": self._model_id()} if method.gives == "narrower" else {}
            mask = self.builder.add(
                "mask",
                spec,
                {
                    **method_id,
                    "seed": self.seed,
                    "prunable": list(self.study.pruning.prunable),
                    **narrower,
                },
                {**scored, **masks, **data},
                label=f"{name} · {self.where} · mask",
                cost=0.2,
            )
            start, params = rewound, dict[str, Any]()
            if method.weights == "trained":
                start = {"start": scored["network"]}
                params["from"] = _spelling(self._start(label), recipe.epochs)
            if method.does("begin") or method.does("update"):
                params["method"] = {**method_id, "revision": spec.revision}
            step = "end" if sparsity == rounds[-1] else method.scored_at
            inputs = {**({} if narrower else start), "mask": mask}
            changed = self._changed(method, recipe, target)
            weights = self._train(name, changed, inputs, {step}, params)[step]
            scored, masks = {"network": weights}, {"masks": mask}
        final = weights if method.does("update") else mask
        return _Ticket(label, target, weights, final)

    def _model_id(self) -> dict[str, Any]:
        return identity(registry.MODELS.get(self.model.kind), self.model.params)

    def _changed(self, method: Method, recipe: Training, target: float) -> Training:
        """The recipe of a ticket's training as its method wants it."""
        spelled = _spelled(recipe)
        changed = method.recipe(spelled, target)
        return recipe if changed == spelled else Training(**changed)

    def _network(
        self,
        method: str,
        target: float,
        weights: str,
        mask: str | None,
        twin: str,
        others: Mapping[str, str] | None = None,
    ) -> None:
        """Logits and readings of one network."""
        name = "dense" if mask is None else f"{method} {target:.1%}"
        measures = {}
        for label, choice in self.study.metrics.items():
            spec = registry.METRICS.get(choice.kind)
            if spec.scope == "pair" and mask is None:
                continue
            inputs = {"data": self.images}
            params = identity(spec, choice.params)
            for need in spec.needs:
                inputs |= self._need(need, name, weights, twin)
            if "masks" in spec.needs:
                inputs["masks"] = mask or weights
                params["prunable"] = list(self.study.pruning.prunable)
            if "other_masks" in spec.needs:
                inputs |= {
                    f"other_masks.{label}": digest for label, digest in (others or {}).items()
                }
            measures[label] = self.builder.add(
                "measure",
                spec,
                params,
                inputs,
                label=f"{name} · {self.where} · {label}",
                cost=3 if "model" in spec.needs else 0.2,
            )
        self.builder.networks.append(
            Network(self.data, self.model.label, method, target, self.seed, weights, mask, measures)
        )

    def _need(self, need: str, name: str, weights: str, twin: str) -> dict[str, str]:
        """Where a metric's need comes from: role to digest."""
        match need:
            case "logits":
                return {need: self._logits(name, weights, self.images, "test")}
            case "val_logits":
                return {need: self._logits(name, weights, self.images, "val")}
            case "dense_logits":
                return {need: self._logits("dense", twin, self.images, "test")}
            case "ood_logits":
                return {
                    f"{need}.{label}": self._logits(name, weights, images, "test", label)
                    for label, images in self.ood.items()
                }
            case "model":
                return {need: weights}
            case "dense_model":
                return {need: twin}
            case _:  # masks, added by the caller; test, train, val: splits of the data, an input
                return {}

    def _logits(self, name: str, weights: str, images: str, split: str, what: str = "") -> str:
        return self.builder.add(
            "logits",
            None,
            {"split": split},
            {"network": weights, "data": images},
            label=f"{name} · {self.where} · logits of {what or split}",
            cost=1,
        )


def _made(choice: Choice) -> Method:
    method = registry.METHODS.get(choice.kind).target(**choice.params)
    assert isinstance(method, Method)
    return method


def _spelled(recipe: Training) -> dict[str, Any]:
    """A recipe as methods see it: what differs from the defaults, and what all of them may want."""
    own = recipe.model_dump(mode="json", exclude_defaults=True)
    return {"epochs": recipe.epochs, "lr": recipe.lr, "schedule": recipe.schedule, **own}


def _numbered(role: str, steps: Iterable[str], dense: Checkpoints) -> dict[str, str]:
    return {f"{role}.{number}": dense[step] for number, step in enumerate(steps)}


def _spelling(text: str, epochs: float) -> str:
    """One spelling per moment."""
    step = Step.parse(text)
    if step.value == 0:
        return "0ep"
    return "end" if step.unit == "ep" and step.value == epochs else str(step)


def _position(text: str, epochs: float) -> float:
    """Roughly how many epochs into training a step is; iterations come first (no set size yet)."""
    step = Step.parse(text)
    return {"ep": step.value, "it": step.value / 1e6, "fraction": step.value * epochs}[step.unit]
