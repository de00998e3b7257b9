"""Modules of a user, imported so that what their decorators register is there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from scratchcard.contracts import UserError


def load_plugins(modules: Iterable[str], folder: Path) -> None:
    """Import the modules that a study names, so that their decorators register.

    Args:
        modules: Names; a file of that name in ``folder`` goes before everything importable.
        folder: Of the study.

    Raises:
        UserError: One of them is not to be found, or cannot be imported.
    """
    before = list(sys.path)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        for module in modules:
            _load_plugin(module, folder)
    finally:
        sys.path[:] = before


def _load_plugin(module: str, folder: Path) -> None:
    try:
        _import(module, folder / f"{module}.py")
    except ModuleNotFoundError as error:
        raise UserError(
            f'plug-in "{module}" cannot be imported ({error}); install it, put its folder on '
            f"PYTHONPATH, or the file into {folder}"
        ) from error
    except UserError:
        raise
    except Exception as error:  # a user's code: anything can happen
        raise UserError(
            f'plug-in "{module}" cannot be imported: {type(error).__name__}: {error}'
        ) from error


def _import(module: str, file: Path) -> None:
    """Import ``module``, from ``file`` if that exists and is not what is loaded already."""
    loaded = sys.modules.get(module)
    if not file.is_file():
        importlib.import_module(module)
    elif loaded is None or getattr(loaded, "__file__", None) != str(file):
        spec = importlib.util.spec_from_file_location(module, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[module])
        except BaseException:
            del sys.modules[module]
            raise
