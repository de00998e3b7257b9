"""Which weights may be pruned, and the words for those that cannot."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from scratchcard.contracts import UserError
from scratchcard.masks import Masks, prunable
from tests.test_masks import network

EVERY = ("conv", "linear", "embedding")


class TestNames:
    def test_they_are_those_of_the_state_dict_in_order(self) -> None:
        model = network()
        assert list(prunable(model)) == ["0.weight", "4.weight", "6.weight"]
        assert all(prunable(model)[n] is dict(model.named_parameters())[n] for n in prunable(model))
        assert list(prunable(model, ["conv"])) == ["0.weight"]
        assert list(prunable(nn.Linear(2, 2))) == ["weight"]

    def test_convolutions_of_any_dimension_groups_and_depth_wise(self) -> None:
        model = nn.ModuleList(
            [nn.Conv1d(4, 6, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4), nn.Conv3d(1, 2, 2)]
        )
        found = {name: tuple(weight.shape) for name, weight in prunable(model).items()}
        assert found == {
            "0.weight": (6, 2, 3),
            "1.weight": (4, 1, 3, 3),
            "2.weight": (2, 1, 2, 2, 2),
        }

    def test_projections_of_attention_are_linear(self) -> None:
        block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        wanted = ["self_attn.in_proj_weight", "self_attn.out_proj.weight"]
        assert list(prunable(block)) == [*wanted, "linear1.weight", "linear2.weight"]
        apart = nn.MultiheadAttention(8, 2, kdim=4, vdim=6)
        assert list(prunable(apart)) == [
            *("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight")
        ]
        with pytest.raises(UserError, match="no conv weights"):
            prunable(apart, ["conv"])

    def test_embeddings_only_where_they_are_named(self) -> None:
        model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
        assert list(prunable(model)) == ["1.weight"]
        assert list(prunable(model, EVERY)) == ["0.weight", "1.weight"]

    def test_a_shared_weight_counts_once(self) -> None:
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        model[2].weight = model[0].weight
        masks = Masks.ones(model)
        assert (list(masks), masks.total) == (["0.weight"], 9)
        masks.apply_(model)

    def test_a_weight_tied_between_kinds_goes_with_either(self) -> None:
        model = nn.ModuleDict({"words": nn.Embedding(5, 4), "head": nn.Linear(4, 5)})
        model["head"].weight = model["words"].weight
        for kinds in (["linear"], ["embedding"], EVERY):
            assert Masks.ones(model, kinds).layers() == {"words.weight": 20}

    def test_attention_trains_under_a_guard(self) -> None:
        torch.manual_seed(0)
        block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        stream = torch.Generator().manual_seed(0)
        masks = Masks(
            {n: torch.rand(p.shape, generator=stream) < 0.3 for n, p in prunable(block).items()}
        )
        optimizer = torch.optim.AdamW(block.parameters(), lr=0.01)
        with masks.attach(block, optimizer) as guard:
            for _ in range(5):
                block(torch.rand(2, 3, 8, generator=stream)).square().sum().backward()
                guard.mask_gradients()
                optimizer.step()
        masks.check(block)


class DTensor(torch.Tensor):
    """Recognised by its name: the real one needs torch.distributed."""


class FullyShardedDataParallel(nn.Sequential):
    """Likewise."""


class Packed(nn.Module):
    """What a quantised layer looks like: its weight is a method."""

    def weight(self) -> torch.Tensor:
        return torch.ones(2, 2)


def integers() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    return layer


def sharded() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.ones(2, 2).as_subclass(DTensor))
    return layer


def hooked() -> nn.Module:
    return prune.random_unstructured(nn.Linear(2, 2), "weight", amount=1)  # type: ignore[no-any-return, no-untyped-call]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "parametrised": (lambda: parametrizations.weight_norm(nn.Linear(2, 2)), "remove_parametriz"),
    "pruned by hooks": (hooked, r"no parameter .* torch\.nn\.utils\.prune\.remove"),
    "lazy": (lambda: nn.LazyConv2d(2, 3), "not initialised yet; pass one batch"),
    "of integers": (integers, r"is torch\.int8; prune the floating-point model"),
    "a DTensor": (sharded, "is a DTensor; prune before sharding, or train with DDP"),
    "packed": (lambda: type("Linear", (Packed,), {})(), "is quantised; prune the floating"),
    "sparse": (lambda: nn.Embedding(3, 2, sparse=True), "sparse gradients; .* sparse=False"),
}


class TestRefusals:
    @pytest.mark.parametrize("fault", REFUSED)
    def test_the_layer_and_the_mend_are_named(self, fault: str) -> None:
        build, words = REFUSED[fault]
        model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(build()))
        with pytest.raises(UserError, match=rf"cannot prune 1\.0(\.weight)?: it .*{words}"):
            prunable(model, EVERY)

    def test_only_layers_that_are_asked_for(self) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.LazyConv2d(2, 3))
        assert list(prunable(model, ["linear"])) == ["0.weight"]

    def test_what_fsdp_wraps(self) -> None:
        with pytest.raises(UserError, match="cannot prune the model: it is sharded by FSDP"):
            prunable(FullyShardedDataParallel(nn.Linear(2, 2)))

    def test_unknown_kinds_and_nothing_to_prune(self) -> None:
        with pytest.raises(UserError, match=r'"bias" \(known: conv, linear, embedding\)'):
            prunable(network(), ["conv", "bias"])
        with pytest.raises(UserError, match="no conv weights"):
            prunable(nn.Linear(2, 2), ["conv"])
