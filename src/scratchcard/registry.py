"""Names for methods, metrics, data and concept sets and models, with "did you mean".

The registries are filled when a name is first looked up and only read afterwards.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, Literal, TypeVar, get_args

from scratchcard.contracts import (
    NEED_OPTIONS,
    NEEDS,
    ConceptsSpec,
    DatasetSpec,
    Dimension,
    Method,
    MethodSpec,
    MetricSpec,
    ModelSpec,
    Spec,
    UserError,
)

S = TypeVar("S", bound=Spec)
T = TypeVar("T", bound=Callable[..., Any])
ALL_SHARE = ("test", "train", "val")
"""Needs that the networks of all seeds have in common."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to append to an error, empty where nothing is close.

    >>> did_you_mean("lht", ["lth", "omp"])
    '; did you mean "lth"?'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


class Registry(Generic[S]):
    """Specs by name; the built-in ones come from every module below ``package``."""

    def __init__(self, what: str, package: str) -> None:
        self.what = what
        self._package = package
        self._specs: dict[str, S] = {}
        self._loaded = False

    def add(self, spec: S) -> None:
        """Register ``spec``; the same name from another place is refused."""
        known = self._specs.get(spec.name)
        if known is not None and known.origin != spec.origin:
            raise UserError(
                f'{self.what} "{spec.name}" is defined twice: '
                f"in {known.origin} and in {spec.origin}; rename one of them"
            )
        self._specs[spec.name] = spec

    def get(self, name: str) -> S:
        """The spec of ``name``, or a ``UserError`` that lists the known names."""
        self._load()
        if name not in self._specs:
            raise UserError(
                f'unknown {self.what} "{name}"{did_you_mean(name, self._specs)} '
                f"(known: {', '.join(self.names())})"
            )
        return self._specs[name]

    def names(self) -> list[str]:
        """Every known name, sorted."""
        self._load()
        return sorted(self._specs)

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._specs

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # before, since what is imported may look something up
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
            for entry in entry_points(group="scratchcard.plugins"):
                entry.load()
        except BaseException:
            self._loaded = False
            raise


def check_options(what: str, spec: Spec, given: Iterable[str]) -> None:
    """Refuse options that ``spec`` does not have, and say which it cannot do without."""
    for option in given:
        if option not in spec.parameters:
            raise UserError(
                f'{what} "{spec.name}" has no option "{option}"'
                f"{did_you_mean(option, spec.parameters)} "
                f"(known: {', '.join(spec.parameters) or 'none'})"
            )
    for option, (_, default) in spec.parameters.items():
        if default is inspect.Parameter.empty and option not in given:
            raise UserError(f'{what} "{spec.name}" needs the option "{option}"')


METHODS: Registry[MethodSpec] = Registry("method", "scratchcard.pruning")
METRICS: Registry[MetricSpec] = Registry("metric", "scratchcard.metrics")
DATASETS: Registry[DatasetSpec] = Registry("data set kind", "scratchcard.data")
CONCEPTS: Registry[ConceptsSpec] = Registry("concept set kind", "scratchcard.data.concepts")
MODELS: Registry[ModelSpec] = Registry("model", "scratchcard.models")


def _one_of(what: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse a word in a decorator that is none of those it may be."""
    if value not in allowed:
        raise UserError(
            f'{what} "{value}"{did_you_mean(value, allowed)} (allowed: {", ".join(allowed)})'
        )


def _without_paths(common: dict[str, Any]) -> dict[str, Any]:
    """Only a data set's options may be paths: their content is hashed, paths never are."""
    for option, (kind, _) in common["parameters"].items():
        if "Path" in str(kind):
            raise UserError(
                f'option "{option}" of "{common["name"]}" is a path, which only data sets may '
                "have: read the file there, or put its content into the code"
            )
    return common


def method(
    name: str,
    *,
    title: str,
    when: Literal["before", "during", "after"],
    version: int = 1,
    needs_data: bool = False,
    control: bool = False,
) -> Callable[[T], T]:
    """Register a pruning method: a frozen dataclass derived from ``Method``.

    A ``control`` is shown beside the others, but the verdict does not speak of it.
    """

    def register(target: T) -> T:
        _one_of("when =", when, ("before", "during", "after"))
        assert isinstance(target, type), f"{target} is not a class"
        assert issubclass(target, Method), f"{target} is not derived from Method"
        METHODS.add(
            MethodSpec(
                **_without_paths(Spec.common(name, version, target)),
                title=title,
                when=when,
                needs_data=needs_data,
                control=control,
            )
        )
        return target

    return register


def metric(
    name: str,
    *,
    title: str,
    dimension: Dimension,
    better: Literal["higher", "lower"],
    unit: Literal["fraction", ""] = "fraction",
    headline: bool = False,
    margin: float | None = None,
    scale: Literal["linear", "log"] = "linear",
    defaults: Mapping[str, Any] | None = None,
    paper: Mapping[str, Any] | None = None,
    caution: str = "",
    costly: bool = False,
    timed: bool = False,
    version: int = 1,
) -> Callable[[T], T]:
    """Register a metric: a function whose positional parameters name what it needs.

    Options of these needs (``contracts.NEED_OPTIONS``) are options of the metric, with other
    ``defaults`` where it says so. One that the function names itself, too, reaches both.
    """

    def register(target: T) -> T:
        _one_of("dimension =", dimension, get_args(Dimension))
        _one_of("better =", better, ("higher", "lower"))
        _one_of("scale =", scale, ("linear", "log"))
        parameters = inspect.signature(target).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        unknown = [need for need in needs if need not in NEEDS]
        if unknown:
            raise UserError(
                f'metric "{name}" needs {unknown[0]!r}{did_you_mean(unknown[0], NEEDS)} '
                f"(a metric may ask for: {', '.join(NEEDS)})"
            )
        if headline and margin is None:
            raise UserError(f'metric "{name}" votes in the verdict, so it must declare a margin')
        common = _without_paths(Spec.common(name, version, target))
        common["parameters"] = _with_needs(name, needs, defaults or {}) | common["parameters"]
        spec = MetricSpec(
            **common,
            title=title,
            dimension=dimension,
            better=better,
            unit=unit,
            needs=needs,
            headline=headline,
            margin=margin,
            scale=scale,
            paper=dict(paper or {}),
            caution=caution,
            costly=costly,
            timed=timed,
        )
        _check_scope(spec)
        METRICS.add(spec)
        return target

    return register


def _check_scope(spec: MetricSpec) -> None:
    """Refuse a vote where the dense twin has no reading, and needs that never come together."""
    if spec.headline and spec.scope != "network":
        raise UserError(
            f'metric "{spec.name}" looks at other networks, too, so the dense twin has no reading '
            "of it to differ from: it cannot vote; remove headline"
        )
    single = [n for n in spec.needs if not n.startswith("all_") and n not in ALL_SHARE]
    if spec.scope == "group" and single:
        raise UserError(
            f'metric "{spec.name}" looks at the networks of all seeds together, so it cannot need '
            f"{single[0]} of one of them (beside all_... it may ask for: {', '.join(ALL_SHARE)})"
        )


def _with_needs(
    name: str, needs: Iterable[str], defaults: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """The options of a metric's needs, with its own defaults."""
    options = {
        option: (one.kind, defaults.get(option, one.default))
        for need in needs
        for option, one in NEED_OPTIONS.get(need, {}).items()
    }
    for option in defaults:
        if option not in options:
            raise UserError(
                f'metric "{name}" has a default for "{option}", which is no option of its needs'
                f"{did_you_mean(option, options)} (known: {', '.join(options) or 'none'})"
            )
    return options


def dataset(name: str, *, version: int = 1) -> Callable[[T], T]:
    """Register a kind of data set: a frozen dataclass derived from ``data.Dataset``."""

    def register(target: T) -> T:
        DATASETS.add(DatasetSpec(**Spec.common(name, version, target)))
        return target

    return register


def concept_set(name: str, *, version: int = 1) -> Callable[[T], T]:
    """Register a kind of concept set: a frozen dataclass derived from ``ConceptSource``."""

    def register(target: T) -> T:
        CONCEPTS.add(ConceptsSpec(**Spec.common(name, version, target)))
        return target

    return register


def model(
    name: str,
    *,
    version: int = 1,
    narrower: Callable[[Mapping[str, Any], float], dict[str, Any]] | None = None,
) -> Callable[[T], T]:
    """Register an architecture: ``build(task, *, ...) -> nn.Module``; it refuses misfits."""

    def register(target: T) -> T:
        common = _without_paths(Spec.common(name, version, target))
        MODELS.add(ModelSpec(**common, narrower=narrower))
        return target

    return register
