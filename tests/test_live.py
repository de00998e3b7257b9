"""What is shown while a study runs, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from scratchcard import live
from scratchcard.engines import Event
from scratchcard.estimate import Estimate
from scratchcard.graph import Plan, Stage


def plan() -> Plan:
    stages = [
        Stage("train", "1", {"seed": seed}, {}, label=f"dense · seed {seed}", cost=10)
        for seed in range(4)
    ]
    return Plan({stage.digest: stage for stage in stages}, ())


def show(events: list[Event], planned: Plan, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=90)
    with live.Display(planned, Estimate(), workers=2, console=console) as display:
        for event in events:
            display(event)
    return out.getvalue()


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show at every event."""
    monkeypatch.setattr(live, "TABLE", -1.0)
    monkeypatch.setattr(live, "LINE", -1.0)


def test_plain_lines_count_and_estimate() -> None:
    planned = plan()
    one, two, three, _ = planned.stages.values()
    events = [
        Event("started", one, 0),
        Event("finished", one, amount=20.0),
        Event("started", two, 0),
        Event("progress", two, amount=0.5),
        Event("failed", three, text="DivergedError: the loss is nan"),
    ]
    lines = show(events, planned, terminal=False).splitlines()
    assert lines[0].startswith("0 of 4 stages done")
    assert "time left not known yet" in lines[0]
    assert "1 of 4 stages done" in lines[1]
    # Two more trainings of 20 s and one that failed are left after the first, on two workers.
    assert lines[1].endswith("about 40 s left")
    assert lines[3].endswith("about 30 s left"), "half of the second is done"
    assert lines[4] == "failed: dense · seed 2: DivergedError: the loss is nan"
    assert "1 failed" in lines[5]


def test_a_terminal_sees_bars_labels_and_failures() -> None:
    planned = plan()
    one, two, *_ = planned.stages.values()
    text = show(
        [Event("cached", one), Event("started", two, 1), Event("failed", two, text="no luck")],
        planned,
        terminal=True,
    )
    assert "1 of 4" in text
    assert "dense · seed 1" in text
    assert "failed: dense · seed 1: no luck" in text
