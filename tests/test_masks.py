"""Masks against brute force."""

import copy
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
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

    def test_shuffling_moves_the_mask_within_each_layer(self) -> None:
        masks = random_masks(network(), 0.3)
        shuffled = masks.shuffled(torch.Generator().manual_seed(0))
        assert shuffled.layers() == masks.layers()
        assert shuffled.shapes() == masks.shapes()
        for name in masks:  # each of them: a shuffle that forgets to write is a no-op
            assert not torch.equal(shuffled[name], masks[name]), name
        assert shuffled == masks.shuffled(torch.Generator().manual_seed(0))
        assert shuffled != masks.shuffled(torch.Generator().manual_seed(1))

    def test_shuffling_favours_no_place(self) -> None:
        masks, stream = Masks({"w": torch.arange(6) < 2}), torch.Generator().manual_seed(0)
        counts = sum(masks.shuffled(stream)["w"].double() for _ in range(3000))
        # Each place is kept with probability 1/3: 1000 times, with a deviation of 26.
        assert isinstance(counts, torch.Tensor)
        assert (counts - 1000).abs().max() < 4 * 26

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

    def test_a_saved_ticket_loads_into_the_stock_class(self, tmp_path: Path) -> None:
        model = network()
        masks = random_masks(model)
        masks.apply_(model)
        save_file(model.state_dict(), tmp_path / "weights.safetensors")
        masks.save(tmp_path / "masks.safetensors")

        fresh, loaded = network(seed=1), Masks.load(tmp_path / "masks.safetensors")
        assert list(model.state_dict()) == list(fresh.state_dict())
        fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
        loaded.check(fresh)
        assert loaded.sparsity == masks.sparsity
        images = torch.rand(2, 1, 6, 6, dtype=torch.float64)
        assert torch.equal(fresh.eval()(images), model.eval()(images))

    def test_a_file_of_other_shapes_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "masks.safetensors"
        Masks({"w": torch.ones(3, 3, dtype=torch.bool)}).save(path)
        with pytest.raises(UserError, match=r"w of shape \(3, 3\) is not in it"):
            Masks.load(path).apply_(network())
        bits = {"w": torch.zeros(2, dtype=torch.uint8)}
        for shape in ([4, 5], [2, 2]):  # of 20 bits, the last four would be made up
            save_file(bits, path, metadata={"shapes": json.dumps({"w": shape})})
            with pytest.raises(UserError, match=r"damaged: 2 bytes are no mask of w of shape"):
                Masks.load(path)


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

    def test_inside_a_wrapper_the_network_is_named(self) -> None:
        model = network()
        masks = random_masks(model)
        averaged = torch.optim.swa_utils.AveragedModel(model)
        with pytest.raises(UserError, match=r"pass the network inside the wrapper, model\.module"):
            masks.apply_(averaged)
        masks.apply_(averaged.module)

    def test_averages_and_midpoints_are_masked_again(self) -> None:
        """They have the union of the supports; a mask says which of it is meant."""
        one, two = network(seed=0), network(seed=1)
        masks, other = random_masks(one, 0.3, seed=0), random_masks(two, 0.3, seed=1)
        masks.apply_(one)
        other.apply_(two)
        average = torch.optim.swa_utils.AveragedModel(one)
        average.update_parameters(one)
        average.update_parameters(two)
        alive = sum(int((p != 0).sum()) for p in prunable(average.module).values())
        union = sum(int((masks[n] | other[n]).sum()) for n in masks)
        assert alive == union > masks.kept
        masks.apply_(average.module)
        assert sum(int((p != 0).sum()) for p in prunable(average.module).values()) == masks.kept

    def test_the_model_holds_no_copy_of_the_masks(self) -> None:
        model = network()
        size = sum(t.nbytes for t in model.state_dict().values())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        random_masks(model).attach(model, optimizer)
        assert sum(t.nbytes for t in model.state_dict().values()) == size
        assert list(dict(model.named_buffers())) == list(dict(network().named_buffers()))
        assert "mask" not in str(optimizer.state_dict())


def test_alive_are_the_prunable_weights_that_are_not_zero() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([[0.0, 1.0, -2.0], [-0.0, 0.0, 3.0]]))
    kept = torch.tensor([[False, True, True], [False, False, True]])
    assert Masks.alive(model) == Masks({"0.weight": kept})
