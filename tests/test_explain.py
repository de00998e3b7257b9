"""What ``explain`` says, and the guide that is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from scratchcard.contracts import UserError
from scratchcard.explain import REGISTRIES, catalogue, guide, page


@pytest.mark.parametrize("what", ["metrics", "methods"])
def test_the_committed_guides_are_what_the_docstrings_say(
    what: Literal["metrics", "methods"],
) -> None:
    committed = (Path(__file__).parents[1] / f"docs/{what}.md").read_text()
    assert committed == guide(what), "run `make docs`"
    for name in REGISTRIES[what].names():
        assert f"(`{name}`)" in committed


def test_the_catalogue_has_everything() -> None:
    listed = catalogue()
    at = listed.splitlines()[1].index(" ", 2 + max(map(len, REGISTRIES["metrics"].names())))
    for registry in REGISTRIES.values():
        for name in registry.names():
            assert f"  {name} " in listed
            assert f" {registry.get(name).summary}" in {line[at:] for line in listed.splitlines()}
            assert registry.get(name).summary, f"{name} has no docstring"


def test_a_page_has_docstring_facts_and_options() -> None:
    text = page("omp")
    assert "Prunes after training; needs no data" in text
    assert "rewind = '0ep'" in text
    text = page("ece")
    assert "lower is better; does not vote" in text
    assert "In the profile `paper`: bins = 14." in text


def test_nothing_of_that_name() -> None:
    with pytest.raises(UserError, match='did you mean "brier"'):
        page("breir")
