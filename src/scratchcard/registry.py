"""Names for methods, metrics, data sets and models, with "did you mean" and plug-ins.

The four registries are filled when a name is first looked up and only read afterwards.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from scratchcard.contracts import (
    NEEDS,
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
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for entry in entry_points(group="scratchcard.plugins"):
            entry.load()


METHODS: Registry[MethodSpec] = Registry("method", "scratchcard.pruning")
METRICS: Registry[MetricSpec] = Registry("metric", "scratchcard.metrics")
DATASETS: Registry[DatasetSpec] = Registry("data set kind", "scratchcard.data")
MODELS: Registry[ModelSpec] = Registry("model", "scratchcard.models")


def load_plugins(modules: Iterable[str], folder: Path) -> None:
    """Import the modules that a study names, so that their decorators register.

    Args:
        modules: Importable names.
        folder: Where they are looked for too, after all other places.

    Raises:
        UserError: One of them is not to be found.
    """
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        for module in modules:
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f'plug-in "{module}" cannot be imported ({error}); install it, put its folder on '
            f"PYTHONPATH, or the file into {folder}"
        ) from error
    finally:
        sys.path.remove(str(folder))


def method(
    name: str,
    *,
    title: str,
    when: Literal["before", "during", "after"],
    version: int = 1,
    needs_data: bool = False,
) -> Callable[[T], T]:
    """Register a pruning method: a frozen dataclass derived from ``Method``."""

    def register(target: T) -> T:
        assert isinstance(target, type), f"{target} is not a class"
        assert issubclass(target, Method), f"{target} is not derived from Method"
        METHODS.add(
            MethodSpec(
                **Spec.common(name, version, target), title=title, when=when, needs_data=needs_data
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
    paper: Mapping[str, Any] | None = None,
    caution: str = "",
    version: int = 1,
) -> Callable[[T], T]:
    """Register a metric: a function whose positional parameters name what it needs."""

    def register(target: T) -> T:
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
        METRICS.add(
            MetricSpec(
                **Spec.common(name, version, target),
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
            )
        )
        return target

    return register


def dataset(name: str, *, version: int = 1) -> Callable[[T], T]:
    """Register a kind of data set: a frozen dataclass derived from ``data.Dataset``."""

    def register(target: T) -> T:
        DATASETS.add(DatasetSpec(**Spec.common(name, version, target)))
        return target

    return register


def model(name: str, *, version: int = 1) -> Callable[[T], T]:
    """Register an architecture: ``build(task, *, ...) -> nn.Module``; it refuses misfits."""

    def register(target: T) -> T:
        MODELS.add(ModelSpec(**Spec.common(name, version, target)))
        return target

    return register
