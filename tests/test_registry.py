"""A registry that could not be filled says why every time, and never passes for a full one."""

import pytest

from scratchcard.contracts import MetricSpec
from scratchcard.registry import Registry


def test_a_failed_import_is_not_forgotten() -> None:
    registry: Registry[MetricSpec] = Registry("metric", "scratchcard.no_such_room")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_room"):
            registry.names()
