"""Bugs of other implementations that no other test guards against; each is shown beside ours.

``docs/bugs-elsewhere.md`` lists all of them, with the tests that do.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.utils import prune as hooks

from scratchcard import models
from scratchcard.contracts import Task
from scratchcard.data.augment import augment, draw
from scratchcard.data.base import Images
from scratchcard.masks import Masks
from scratchcard.pruning import prune
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.during.dynamic import DropAndGrow
from scratchcard.pruning.during.rigl import RiggedLottery
from scratchcard.pruning.during.sparse_evolutionary import SparseEvolutionaryTraining
from scratchcard.seeds import torch_stream
from scratchcard.stages.mask import _scoring_batch
from scratchcard.stages.work import Work
from tests.asking import trained
from tests.test_masks import network

LIST = Path(__file__).parents[2] / "docs" / "bugs-elsewhere.md"


def test_every_test_of_the_list_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", LIST.read_text()))
    assert len(named) > 60
    for file, test in named:
        assert f"def {test}(" in (LIST.parents[1] / "tests" / file).read_text(), (file, test)


class TestScoring:
    images = Images(
        torch.randint(0, 256, (300, 1, 6, 6), generator=torch_stream(0, "x"), dtype=torch.uint8),
        torch.randint(0, 10, (300,), generator=torch_stream(0, "y")),
    )

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        stage = SimpleNamespace(params={"seed": seed})
        return _scoring_batch(
            cast(Work, SimpleNamespace(images=lambda _: self.images, stage=stage))
        )

    def clean(self, images: Tensor) -> bool:
        """Whether each is a training image as it is."""
        known = {image.numpy().tobytes() for image in self.images.floats()}
        return all(image.numpy().tobytes() in known for image in images)

    def test_the_batch_has_ten_images_of_each_class_as_they_are(self) -> None:
        """The first batch of a training loader has neither."""
        images, labels = self.batch(0)
        assert torch.bincount(labels).tolist() == [10] * 10
        assert self.clean(images)
        order = torch.randperm(300, generator=torch_stream(0, "order"))[:100]
        draws = draw(100, pad=1, flip=True, generator=torch_stream(0, "augment"))
        loaded = augment(self.images.pixels[order], draws).float() / 255
        assert torch.bincount(self.images.labels[order]).tolist() != [10] * 10
        assert not self.clean(loaded)

    def test_the_batch_is_the_seeds(self) -> None:
        torch.manual_seed(1)
        (one, labels), (two, _), (other, _) = self.batch(0), self.batch(0), self.batch(1)
        assert torch.equal(one, two)
        assert not torch.equal(one, other)
        assert len({image.numpy().tobytes() for image in one}) == len(labels)

    def test_magnitude_at_initialisation_may_cut_off_the_classifier(self) -> None:
        """A ResNet-18 is at chance from a compression of 10^1.25 on, and is not from 10 on."""
        model = models.build("resnet", Task(3, 32, 32, 10), {"depth": 18}, 0)
        masks = Masks.ones(model)
        assert masks.total == 11_164_352
        scores = {name: model.get_parameter(name).detach().abs() for name in masks}
        at = {c: keep_largest(scores, masks, 1 - 10**-c, "global") for c in (1, 1.25)}
        assert at[1].collapsed == ()
        assert at[1.25].collapsed == ("fc.weight",)
        assert keep_largest(scores, masks, 1 - 10**-1.25, "erk").collapsed == ()


class TestCounting:
    def test_an_empty_layer_is_named(self) -> None:
        """Masks are applied without a word; whoever prunes by hand is told."""
        model = network()
        with torch.no_grad():
            model.get_parameter("4.weight").mul_(1e-9)
        masks = keep_largest(
            {n: model.get_parameter(n).detach().abs() for n in Masks.ones(model)},
            *(Masks.ones(model), 0.95, "global"),
        )
        masks.apply_(copy.deepcopy(model))  # which pytest would have noticed
        assert masks.collapsed == ("4.weight",)
        with pytest.warns(UserWarning, match=r"no weight is left in 4\.weight; take a lower"):
            prune(model, "omp", sparsity=0.95)

    def test_shares_are_of_all_weights_and_not_of_those_left(self) -> None:
        """PyTorch's own tool cuts a share of what is left, so rounds multiply up."""
        ours, theirs = network(), network()
        first = prune(ours, "omp", sparsity=0.5)
        assert isinstance(first, Masks)
        second = prune(ours, "omp", sparsity=0.75, masks=first)
        assert isinstance(second, Masks)
        layers = [(theirs.get_submodule(name), "weight") for name in ("0", "4", "6")]
        for amount in (0.5, 0.75):
            hooks.global_unstructured(layers, hooks.L1Unstructured, amount=amount)
        left = sum(int(dict(layer.named_buffers())["weight_mask"].sum()) for layer, _ in layers)
        assert second.kept == second.total - round(0.75 * second.total)
        assert left == pytest.approx(0.125 * second.total, abs=1)

    @pytest.mark.parametrize("method", [RiggedLottery(), SparseEvolutionaryTraining()])
    def test_layers_with_few_free_places_keep_their_counts(self, method: DropAndGrow) -> None:
        """At 10 % more is dropped than is free: only the just dropped can fill it up."""
        updates = trained(method, total=60, sparsity=0.1)
        counts = updates[0].before.layers()
        assert all(update.after.layers() == counts for update in updates)
        assert updates[0].grown > 0
        free = {name: int((~mask).sum()) for name, mask in updates[0].before.items()}
        dropped = {name: int(method.share(updates[0].step, 45) * counts[name]) for name in counts}
        # What layers would lose if the just dropped were no candidates.
        assert any(dropped[name] > free[name] > 0 for name in counts)
