"""Masks against brute force."""

import copy
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.masks import Masks, prunable


def network(seed: int = 0) -> nn.Module:
    """Convolution, BatchNorm and two linear layers, in float64: 1x6x6 images, three classes."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48, 7),
        nn.Tanh(),
        nn.Linear(7, 3),
    ).double()


def random_masks(model: nn.Module, density: float = 0.4, seed: int = 0) -> Masks:
    stream = torch.Generator().manual_seed(seed)
    shapes = {name: weight.shape for name, weight in prunable(model).items()}
    return Masks({n: torch.rand(s, generator=stream) < density for n, s in shapes.items()})


class TestPrunable:
    def test_names_are_those_of_the_state_dict_in_order(self) -> None:
        model = network()
        assert list(prunable(model)) == ["0.weight", "4.weight", "6.weight"]
        assert all(prunable(model)[n] is dict(model.named_parameters())[n] for n in prunable(model))
        assert list(prunable(model, ["conv"])) == ["0.weight"]
        assert list(prunable(nn.Linear(2, 2))) == ["weight"]

    def test_a_shared_weight_counts_once(self) -> None:
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        model[2].weight = model[0].weight
        masks = Masks.ones(model)
        assert (list(masks), masks.total) == (["0.weight"], 9)
        masks.apply_(model)

    def test_what_cannot_be_pruned_is_refused(self) -> None:
        with pytest.raises(UserError, match=r'cannot prune "bias" \(known: conv, linear\)'):
            prunable(network(), ["conv", "bias"])
        with pytest.raises(UserError, match="no conv weights"):
            prunable(nn.Linear(2, 2), ["conv"])


class TestCounts:
    @given(st.integers(1, 10**7), st.integers(0, 99))
    def test_count_is_exact(self, total: int, percent: int) -> None:
        masks = Masks({"w": torch.ones(1, dtype=torch.bool).expand(total)})
        wanted = Fraction(total) * (100 - Fraction(percent)) / 100
        assert abs(masks.count_at(percent / 100) - wanted) <= Fraction(1, 2)

    @pytest.mark.parametrize(
        ("total", "rung", "kept"), [(10, 1, 8), (1000, 3, 512), (272_474, 14, 11_984)]
    )
    def test_the_ladder(self, total: int, rung: int, kept: int) -> None:
        masks = Masks({"w": torch.ones(total, dtype=torch.bool)})
        assert masks.count_at(round(1 - 0.8**rung, 12)) == kept

    def test_a_half_is_rounded_to_even_in_what_is_cut(self) -> None:
        masks = Masks({"w": torch.ones(5, dtype=torch.bool)})
        assert [masks.count_at(s) for s in (0.1, 0.3, 0.5, 0.7, 0.9)] == [5, 3, 3, 1, 1]

    def test_shares_and_layers(self) -> None:
        masks = Masks(
            {"a": torch.tensor([[True, False], [False, False]]), "b": torch.zeros(6).bool()}
        )
        assert (masks.total, masks.kept, masks.density, masks.sparsity) == (10, 1, 0.1, 0.9)
        assert masks.layers() == {"a": 1, "b": 0}
        assert masks.collapsed == ("b",)
        assert repr(masks) == "Masks(kept=1 of 10, sparsity=90.0000%)"

    def test_only_booleans_are_masks(self) -> None:
        with pytest.raises(UserError, match=r"mask of w is torch.float32, but must be bool"):
            Masks({"w": torch.ones(3)})


class TestComparison:
    def test_overlap_is_that_of_sets(self) -> None:
        one, two = random_masks(network(), 0.5, seed=0), random_masks(network(), 0.3, seed=1)
        first, second = (
            {
                (name, i)
                for name in masks
                for i in masks[name].flatten().nonzero().flatten().tolist()
            }
            for masks in (one, two)
        )
        assert one.overlap(two) == len(first & second) / len(first | second)
        assert one.overlap(one) == 1
        empty = Masks({n: torch.zeros_like(m) for n, m in one.items()})
        assert empty.overlap(one) == 0
        assert empty.overlap(empty) == 1

    def test_masks_of_another_network_do_not_overlap(self) -> None:
        other = Masks.ones(nn.Sequential(nn.Conv2d(1, 3, 5), nn.Linear(2, 2)))
        with pytest.raises(UserError, match="different networks"):
            random_masks(network()).overlap(other)

    def test_equality_is_by_content(self) -> None:
        one = random_masks(network())
        assert one == Masks({n: m.clone() for n, m in one.items()})
        assert one != random_masks(network(), seed=1)
        assert one != "masks"


class TestStorage:
    @given(
        st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3),
        st.integers(0, 99),
    )
    def test_packing_loses_nothing(self, shapes: list[list[int]], seed: int) -> None:
        stream = torch.Generator().manual_seed(seed)
        masks = Masks(
            {f"l{i}": torch.rand(s, generator=stream) < 0.5 for i, s in enumerate(shapes)}
        )
        packed = masks.pack()
        assert all(len(packed[n]) == -(-m.numel() // 8) for n, m in masks.items())
        assert Masks.unpack(packed, masks.shapes()) == masks

    def test_bits_are_in_numpys_order(self) -> None:
        masks = Masks(
            {"w": torch.tensor([True, False, False, False, False, False, False, True, True])}
        )
        assert masks.pack()["w"].tolist() == [0b10000001, 0b10000000]

    def test_files_keep_content_and_order(self, tmp_path: Path) -> None:
        masks = Masks({"z": torch.rand(3, 5, 7) < 0.5, "a": torch.rand(13) < 0.5})
        masks.save(tmp_path / "masks.safetensors")
        assert Masks.load(tmp_path / "masks.safetensors") == masks

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        save_file({"w": torch.ones(3)}, tmp_path / "weights.safetensors")
        (tmp_path / "text").write_text("no tensors at all")
        for name in ("weights.safetensors", "text"):
            with pytest.raises(
                UserError, match=f"{name} holds no masks; name a file that Masks.save"
            ):
                Masks.load(tmp_path / name)


class TestApplication:
    def test_cut_weights_become_exactly_zero(self) -> None:
        model = network()
        masks = random_masks(model)
        weight = prunable(model)["4.weight"]
        with torch.no_grad():
            cut = (~masks["4.weight"]).nonzero()[:5]
            for (row, column), value in zip(
                cut, [-0.0, np.inf, -np.inf, np.nan, -1e-300], strict=True
            ):
                weight[row, column] = value
        before = copy.deepcopy(model.state_dict())
        masks.apply_(model)
        for name, now in model.state_dict().items():
            if name not in masks:
                assert torch.equal(now, before[name])
                continue
            assert torch.equal(now[masks[name]], before[name][masks[name]])
            zeros = now[~masks[name]]
            assert (zeros == 0).all()
            assert not zeros.signbit().any()

    def test_a_revived_weight_is_caught(self) -> None:
        model = network()
        masks = random_masks(model)
        masks.apply_(model)
        masks.check(model)
        row, column = (~masks["6.weight"]).nonzero()[0]
        for value in (1e-30, float("nan")):
            with torch.no_grad():
                prunable(model)["6.weight"][row, column] = value
            with pytest.raises(AssertionError, match=r"1 cut weights of 6\.weight are not zero"):
                masks.check(model)

    def test_masks_of_another_model_are_refused(self) -> None:
        masks = random_masks(network())
        other = network()
        other[4] = nn.Linear(48, 8)  # type: ignore[operator]
        with pytest.raises(UserError, match=r"4\.weight of shape \(7, 48\) is \(8, 48\)"):
            masks.apply_(other)
        optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
        with pytest.raises(UserError, match="do not belong to this model"):
            masks.attach(other, optimizer)
        with pytest.raises(UserError, match=r"0\.weight of shape \(3, 1, 3, 3\) is not in it"):
            masks.check(nn.Linear(2, 2))
