"""Which stage goes next: training with the longest chain of work behind it, then what is quickest.

A ladder is one long chain, which would else keep a single worker busy at the end. What no training
waits for has no such chains, and the cheap numbers come first.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from graphlib import TopologicalSorter

from scratchcard.graph import Stage


def chains(stages: Mapping[str, Stage], weight: Callable[[Stage], float]) -> dict[str, float]:
    """For each digest the weight of the heaviest chain that starts with it, itself included."""
    waits = {
        digest: [one for one in stage.waits_for if one in stages]
        for digest, stage in stages.items()
    }
    heaviest = {digest: weight(stage) for digest, stage in stages.items()}
    for digest in reversed([*TopologicalSorter(waits).static_order()]):
        for one in waits[digest]:
            heaviest[one] = max(heaviest[one], weight(stages[one]) + heaviest[digest])
    return heaviest


def ranks(
    stages: Mapping[str, Stage], weight: Callable[[Stage], float]
) -> dict[str, tuple[bool, float, int]]:
    """The place of each digest in the queue: training by its chain, then the rest by its weight.

    What a training waits for belongs to it. Equal ones go in the order of ``stages``.
    """
    heaviest, training = chains(stages, weight), set[str]()
    ahead = [digest for digest, stage in stages.items() if stage.kind == "train"]
    while ahead:
        digest = ahead.pop()
        if digest in stages and digest not in training:
            training.add(digest)
            ahead.extend(stages[digest].waits_for)
    return {
        digest: (False, -heaviest[digest], at) if digest in training else (True, weight(stage), at)
        for at, (digest, stage) in enumerate(stages.items())
    }


class Agenda:
    """The stages still to do; ``pop`` gives the best one of those that can start now.

    A stage is open, in somebody's hands (popped), or done. What a stage waits for outside
    ``stages`` counts as done. Which is best, ``ranks`` says.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        weight: Callable[[Stage], float],
        done: Collection[str] = (),
    ) -> None:
        self.stages = {stage.digest: stage for stage in stages}
        self.followers: Mapping[str, list[str]] = defaultdict(list)
        for digest, stage in self.stages.items():
            for one in stage.waits_for:
                self.followers[one].append(digest)
        self._rank = ranks(self.stages, weight)
        self._done = set(done)
        self._open = set(self.stages) - self._done
        self._heap: list[tuple[tuple[bool, float, int], str]] = []
        for digest in self._open:
            self._offer(digest)

    def __len__(self) -> int:
        """How many stages could start now, at most."""
        return len(self._heap)

    def pop(self) -> Stage | None:
        """The best stage that can start now, None if there is none."""
        while self._heap:
            _, digest = heapq.heappop(self._heap)
            # An entry is stale if the stage was taken or dropped, or an input was lost since.
            if digest in self._open and self._can_start(digest):
                self._open.remove(digest)
                return self.stages[digest]
        return None

    def finish(self, digest: str) -> None:
        """The stage is done: those that wait for it may start."""
        self._open.discard(digest)
        self._done.add(digest)
        for follower in self.followers[digest]:
            self._offer(follower)

    def reopen(self, digest: str) -> None:
        """The stage must be done (again)."""
        self._done.discard(digest)
        self._open.add(digest)
        self._offer(digest)

    def drop(self, digest: str) -> None:
        """The stage shall not be done."""
        self._open.discard(digest)

    def _can_start(self, digest: str) -> bool:
        waits = self.stages[digest].waits_for
        return all(one in self._done or one not in self.stages for one in waits)

    def _offer(self, digest: str) -> None:
        if digest in self._open and self._can_start(digest):
            heapq.heappush(self._heap, (self._rank[digest], digest))


def makespan(
    stages: Iterable[Stage],
    seconds: Callable[[Stage], float],
    workers: int,
    done: Collection[str] = (),
) -> float:
    """Seconds until all of ``stages`` but ``done`` are finished by ``workers`` in this order.

    >>> from scratchcard.graph import Stage
    >>> short, long = Stage("train", "1", {"seed": 0}, {}), Stage("train", "1", {"seed": 1}, {})
    >>> after = Stage("train", "1", {}, {"network": long.digest})
    >>> makespan([short, long, after], lambda stage: 2.0, workers=2)
    4.0
    """
    agenda = Agenda(stages, seconds, done)
    running: list[tuple[float, str]] = []
    now = 0.0
    while True:
        while len(running) < workers and (stage := agenda.pop()):
            heapq.heappush(running, (now + seconds(stage), stage.digest))
        if not running:
            return now
        now, digest = heapq.heappop(running)
        agenda.finish(digest)
