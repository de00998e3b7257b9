"""The training loop against a reference in numpy, and the order in which it shows images."""

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.masks import Masks
from scratchcard.study import Training
from scratchcard.training import Clock, DivergedError, train
from tests.trainees import END, IMAGES, Recorder, linear, network, noise, numbered, trainee_of


class TestDescent:
    def test_sgd_is_that_of_numpy(self) -> None:
        """Softmax regression with momentum, weight decay and a cosine, in float64 by hand."""
        recipe = Training(epochs=3, batch_size=8, lr=0.3, momentum=0.9, weight_decay=0.01)
        images, trainee = noise(), trainee_of(linear(), recipe)
        start = [p.detach().double().numpy().copy() for p in trainee.model.parameters()]
        recorder = Recorder(trainee)
        train(trainee, images, recipe, seed=0, until=END)

        labels_of = {
            image.tobytes(): label
            for image, label in zip(images.floats().numpy(), images.labels.tolist(), strict=True)
        }
        parameters, momentum = start, [np.zeros_like(p) for p in start]
        for step, batch in enumerate(recorder.batches):
            x = batch.double().flatten(1).numpy()
            y = [labels_of[image.contiguous().numpy().tobytes()] for image in batch]
            scores = np.exp(x @ parameters[0].T + parameters[1])
            error = (scores / scores.sum(1, keepdims=True) - np.eye(3)[y]) / len(y)
            gradients = [error.T @ x, error.sum(0)]
            rate = 0.3 * (1 + math.cos(math.pi * step / END)) / 2
            for k, gradient in enumerate(gradients):
                momentum[k] = 0.9 * momentum[k] + gradient + 0.01 * parameters[k]
                parameters[k] = parameters[k] - rate * momentum[k]
        assert len(recorder.batches) == END
        for found, wanted in zip(trainee.model.parameters(), parameters, strict=True):
            np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5)

    @pytest.mark.parametrize("smoothing", [0.0, 0.3])
    def test_history_is_the_mean_over_the_images_seen(self, smoothing: float) -> None:
        """At a vanishing rate all steps see the same network."""
        recipe = Training(
            epochs=2, batch_size=IMAGES, lr=1e-30, weight_decay=0, label_smoothing=smoothing
        )
        images, trainee = noise(), trainee_of(linear(), recipe)
        train(trainee, images, recipe, seed=0, until=2)
        with torch.no_grad():
            logits = trainee.model(images.floats()).double()
        logp = logits - logits.exp().sum(1, keepdim=True).log()
        target = torch.eye(3).double()[images.labels] * (1 - smoothing) + smoothing / 3
        loss = float(-(target * logp).sum(1).mean())
        accuracy = float((logits.argmax(1) == images.labels).double().mean())
        for epoch, entry in enumerate(trainee.history):
            assert entry == pytest.approx({"epoch": epoch, "loss": loss, "accuracy": accuracy})
        assert len(trainee.history) == 2

    def test_clipping_bounds_the_step(self) -> None:
        recipe = Training(
            epochs=1, batch_size=8, lr=0.5, momentum=0, weight_decay=0, clip_norm=0.01
        )
        trainee = trainee_of(linear(), recipe)
        train(trainee, noise(), recipe, seed=0, until=1)
        steps = zip(trainee.model.parameters(), linear().parameters(), strict=True)
        moved = torch.cat([(new - old).detach().flatten() for new, old in steps])
        assert float(moved.norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)

    def test_cut_gradients_do_not_count_in_clipping(self) -> None:
        """With a single live weight, that weight alone moves by rate times norm."""
        recipe = Training(
            epochs=1, batch_size=8, lr=0.5, momentum=0, weight_decay=0, clip_norm=0.01
        )
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, bias=False))
        mask = torch.zeros(3, 36, dtype=torch.bool)
        mask[1, 5] = True
        trainee = trainee_of(model, recipe)
        before = model.get_parameter("1.weight")[1, 5].item()
        trainee.masks = Masks({"1.weight": mask})
        train(trainee, noise(), recipe, seed=0, until=1)
        moved = abs(model.get_parameter("1.weight")[1, 5].item() - before)
        assert moved == pytest.approx(0.5 * 0.01, rel=1e-3)

    def test_divergence_is_named(self) -> None:
        recipe = Training(epochs=5, batch_size=8, lr=1e6)
        with pytest.raises(
            DivergedError,
            match=r"loss is (nan|inf) in epoch \d \(step \d+\).*diverged; try a lower lr",
        ):
            train(trainee_of(network(), recipe), noise(), recipe, seed=0, until=30)


class TestOrder:
    def epochs(self, seed: int, **recipe: Any) -> list[list[int]]:
        """The images of each epoch, in order."""
        full = Training(**({"epochs": 3, "batch_size": 8} | recipe))
        trainee = trainee_of(linear(), full)
        recorder = Recorder(trainee)
        clock = Clock(full, IMAGES)
        train(trainee, numbered(), full, seed=seed, until=clock.total)
        numbers = recorder.numbers()
        step = clock.per_epoch
        return [[*chain(*numbers[k : k + step])] for k in range(0, clock.total, step)]

    def test_every_epoch_is_another_shuffle_without_its_last_incomplete_batch(self) -> None:
        epochs = self.epochs(0)
        for epoch in epochs:
            assert len(epoch) == len(set(epoch)) == 48
            assert epoch != sorted(epoch)
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert len({frozenset(epoch) for epoch in epochs}) > 1

    def test_the_seed_decides(self) -> None:
        assert self.epochs(0) == self.epochs(0)
        assert self.epochs(0) != self.epochs(1)

    def test_a_batch_larger_than_the_set_is_the_set(self) -> None:
        assert [sorted(epoch) for epoch in self.epochs(0, batch_size=64)] == [[*range(IMAGES)]] * 3

    def test_augmentation_belongs_to_the_image_and_the_epoch(self) -> None:
        """Where each image's white pixel went, for two batch sizes."""

        def places(batch_size: int) -> list[dict[int, int]]:
            recipe = Training(epochs=2, batch_size=batch_size, crop=1, flip=True)
            trainee = trainee_of(linear(), recipe)
            recorder = Recorder(trainee)
            clock = Clock(recipe, IMAGES)
            train(trainee, numbered(), recipe, seed=0, until=clock.total)
            images = [image for batch in recorder.batches for image in batch[:, 0]]
            # The grey level is seen in the middle, where neither crop nor white pixel reach.
            found = [
                (int((image[4, 3] * 255).round()), int(image.flatten().argmax()))
                for image in images
            ]
            half = clock.per_epoch * batch_size
            return [dict(found[:half]), dict(found[half:])]

        for small, large in zip(places(8), places(25), strict=True):
            shared = small.keys() & large.keys()
            assert len(shared) >= 48
            assert all(small[k] == large[k] for k in shared)
        first, second = places(25)
        assert len(set(first.values())) > 6  # of 3 x 3 crops, mirrored or not
        assert first != second
