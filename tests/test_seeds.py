"""Streams are pinned, and depend on nothing but the seed and the purpose."""

import torch

from scratchcard.seeds import derive, numpy_stream, torch_stream


def test_derived_seeds_are_pinned() -> None:
    """A change here would change every number of every study."""
    assert derive(0, "init") == 1_519_069_808_562_059_438
    assert derive(3, "order", 17) == 6_547_427_698_528_158_753
    assert derive(1, "dropout", 100_000) == 1_130_260_588_474_618_680


def test_draws_are_pinned() -> None:
    assert torch.randperm(6, generator=torch_stream(3, "order", 17)).tolist() == [1, 5, 3, 0, 2, 4]
    assert numpy_stream(1, "split", "val").permutation(6).tolist() == [3, 0, 2, 4, 1, 5]


def test_seed_and_every_part_of_the_purpose_matter() -> None:
    purposes: tuple[tuple[str | int, ...], ...] = (
        *(("init",), ("order",), ("augment", 1)),
        *(("order", 1), ("order", 11), ("order", 1, 1)),
    )
    derived = {derive(seed, *purpose) for seed in range(20) for purpose in purposes}
    assert len(derived) == 20 * len(purposes)
    assert all(0 <= value < 2**63 for value in derived)


def test_streams_do_not_depend_on_what_was_drawn_before() -> None:
    alone = torch.rand(5, generator=torch_stream(0, "b"))
    torch.manual_seed(0)
    torch.rand(3)
    other, stream = torch_stream(0, "a"), torch_stream(0, "b")
    torch.rand(7, generator=other)
    before = torch.get_rng_state()
    assert torch.equal(torch.rand(5, generator=stream), alone)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(torch.rand(5, generator=torch_stream(0, "a")), alone)


def test_numpy_streams_are_independent_too() -> None:
    alone = numpy_stream(0, "b").random(5)
    numpy_stream(0, "a").random(7)
    assert (numpy_stream(0, "b").random(5) == alone).all()
    assert not (numpy_stream(1, "b").random(5) == alone).any()
