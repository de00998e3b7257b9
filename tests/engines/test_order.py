"""Longest chain first, and the wall time that it leads to."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scratchcard.engines.order import Agenda, chains, makespan
from scratchcard.graph import Stage
from tests.engines import toy


def drain(agenda: Agenda) -> list[str]:
    """Labels in the order in which a single worker would take them."""
    order = []
    while stage := agenda.pop():
        order.append(stage.label)
        agenda.finish(stage.digest)
    return order


def one(stage: Stage) -> float:
    return 1.0


def training(name: str, *inputs: Stage) -> Stage:
    return toy.stage(name, *inputs, kind="train")


def test_the_longest_chain_goes_first_and_ties_keep_their_order() -> None:
    single = [training("z"), training("a")]
    first = toy.stage("first")  # what a training waits for is as urgent
    second = toy.stage("second", first)
    third = training("third", second)
    stages = [*single, first, second, third]
    assert drain(Agenda(stages, one)) == ["first", "second", "z", "a", "third"]
    assert drain(Agenda(reversed(stages), one)) == ["first", "second", "third", "a", "z"]
    heavy = dict.fromkeys([s.digest for s in stages], 1.0) | {single[1].digest: 9.0}
    order = drain(Agenda(stages, lambda stage: heavy[stage.digest]))
    assert order == ["a", "first", "second", "z", "third"]


def test_what_no_training_waits_for_comes_later_and_the_cheapest_first() -> None:
    network = training("network")
    few, many = toy.stage("few", network), toy.stage("many", network)
    stages = [network, many, toy.stage("attack", network), few, toy.stage("mce", many)]
    stages += [toy.stage("accuracy", few), training("next", network)]
    costs = {"network": 1.0, "many": 5.0, "attack": 3.0, "few": 1.0, "mce": 0.2, "next": 9.0}
    order = drain(Agenda(stages, lambda stage: costs.get(stage.label, 0.2)))
    assert order == ["network", "next", "few", "accuracy", "attack", "many", "mce"]


def test_what_is_done_or_elsewhere_is_not_waited_for() -> None:
    first = toy.stage("first")
    second = toy.stage("second", first)
    third = toy.stage("third", second)
    assert drain(Agenda([first, second, third], one, {first.digest})) == ["second", "third"]
    assert drain(Agenda([third], one)) == ["third"]


def test_a_lost_input_is_made_again_before_it_is_used() -> None:
    first = toy.stage("first")
    second = toy.stage("second", first)
    agenda = Agenda([first, second], one, {first.digest})
    assert agenda.pop() == second
    agenda.reopen(first.digest)
    agenda.reopen(second.digest)
    assert agenda.pop() == first
    assert agenda.pop() is None
    agenda.finish(first.digest)
    assert agenda.pop() == second
    assert agenda.pop() is None


def test_a_queued_stage_waits_when_its_input_is_lost() -> None:
    first = toy.stage("first")
    second = toy.stage("second", first)
    agenda = Agenda([first, second], one, {first.digest})
    agenda.reopen(first.digest)
    assert drain(agenda) == ["first", "second"]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Stage], dict[str, float]]:
    """Up to eight stages, each with any of the earlier ones as inputs, and their seconds."""
    stages: list[Stage] = []
    for name in range(draw(st.integers(1, 8))):
        inputs = [stage for stage in stages if draw(st.booleans())]
        stages.append(toy.stage(str(name), *inputs))
    seconds = {stage.digest: float(draw(st.integers(1, 5))) for stage in stages}
    return stages, seconds


def all_chains(stages: list[Stage], seconds: dict[str, float]) -> dict[str, float]:
    """The heaviest chain from each stage, by looking at every subset of the stages."""
    best: dict[str, float] = {}
    for size in range(1, len(stages) + 1):
        for some in itertools.combinations(stages, size):
            if all(a.digest in b.waits_for for a, b in itertools.pairwise(some)):
                total = sum(seconds[stage.digest] for stage in some)
                best[some[0].digest] = max(best.get(some[0].digest, 0.0), total)
    return best


@given(graphs())
def test_chains_agree_with_brute_force(graph: tuple[list[Stage], dict[str, float]]) -> None:
    stages, seconds = graph
    by_digest = {stage.digest: stage for stage in stages}
    assert chains(by_digest, lambda s: seconds[s.digest]) == all_chains(stages, seconds)


@given(graphs(), st.integers(1, 3))
def test_makespan_keeps_its_bounds(
    graph: tuple[list[Stage], dict[str, float]], workers: int
) -> None:
    stages, seconds = graph
    span = makespan(stages, lambda s: seconds[s.digest], workers)
    work, longest = sum(seconds.values()), max(all_chains(stages, seconds).values())
    # Graham's bound for any list schedule: work / w + (1 - 1 / w) longest.
    assert max(work / workers, longest) <= span + 1e-9
    assert span <= work / workers + (1 - 1 / workers) * longest + 1e-9
    if workers == 1:
        assert span == work
    assert makespan(stages, lambda s: seconds[s.digest], 8) == longest


def test_makespan_of_what_is_left() -> None:
    stages = toy.graph(21, 0.0)
    assert makespan(stages, one, 1) == 21
    assert makespan(stages, one, 1, done=[stage.digest for stage in stages[:4]]) == 17
    assert makespan([], one, 1) == 0
