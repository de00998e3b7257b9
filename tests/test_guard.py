"""Training under a guard, against multiplication by the mask in the forward pass."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from scratchcard.masks import Masks, prunable
from tests.test_masks import network, random_masks


def batches(n: int = 50) -> list[tuple[Tensor, Tensor]]:
    stream = torch.Generator().manual_seed(1)
    return [
        (
            torch.rand(8, 1, 6, 6, generator=stream, dtype=torch.float64),
            torch.randint(0, 3, (8,), generator=stream),
        )
        for _ in range(n)
    ]


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels)


def masked_forward(model: nn.Module, masks: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """The reference: weights keep living, the forward pass sees weight times mask."""
    weights = {
        name: parameter * masks[name] if name in masks else parameter
        for name, parameter in model.named_parameters()
    }
    logits: Tensor = functional_call(model, weights, (images,))
    return logits


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks, clip: float = 0.0
) -> list[float]:
    """Train as a user would; the gradients' norms before clipping."""
    guard = masks.attach(model, optimizer)
    norms = []
    for images, labels in batches():
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()  # type: ignore[no-untyped-call]
        guard.mask_gradients()
        if clip:
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), clip)))
        optimizer.step()
        masks.check(model)
    guard.remove()
    for name, weight in prunable(model).items():
        assert not weight[~masks[name]].signbit().any()
    return norms


def fit_reference(
    model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks, clip: float = 0.0
) -> list[float]:
    norms = []
    for images, labels in batches():
        optimizer.zero_grad()
        loss_of(masked_forward(model, masks, images), labels).backward()  # type: ignore[no-untyped-call]
        if clip:
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), clip)))
        optimizer.step()
    masks.apply_(model)
    return norms


def sgd(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3, **options)


class TestTraining:
    @pytest.mark.parametrize("clip", [0.0, 0.05])
    @pytest.mark.parametrize("nesterov", [False, True])
    def test_sgd_equals_masking_in_the_forward_pass(self, clip: float, nesterov: bool) -> None:
        ours, reference = network(), network()
        masks = random_masks(ours)
        norms = fit(ours, sgd(ours, nesterov=nesterov), masks, clip)
        # Equal norms: what is cut was masked before clipping, or it would count.
        assert norms == pytest.approx(
            fit_reference(reference, sgd(reference, nesterov=nesterov), masks, clip), rel=1e-9
        )
        start, wanted = network().state_dict(), reference.state_dict()
        for name, value in ours.state_dict().items():
            assert torch.allclose(value.double(), wanted[name].double(), rtol=0, atol=1e-12), name
            assert not torch.allclose(value.double(), start[name].double(), atol=1e-3), name

    def test_adamw_equals_masking_in_the_forward_pass(self) -> None:
        ours, reference = network(), network()
        masks = random_masks(ours)
        optimizer = torch.optim.AdamW(ours.parameters(), lr=0.01, amsgrad=True)
        fit(ours, optimizer, masks)
        fit_reference(
            reference, torch.optim.AdamW(reference.parameters(), lr=0.01, amsgrad=True), masks
        )
        for value, other in zip(ours.parameters(), reference.parameters(), strict=True):
            assert torch.allclose(value, other, rtol=0, atol=1e-12)
        for name, weight in prunable(ours).items():
            state = optimizer.state[weight]
            assert float(state["step"]) == 50
            for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                assert (state[key][~masks[name]] == 0).all()
                assert (state[key][masks[name]] != 0).any()

    def test_state_from_before_the_mask_is_cleared_too(self) -> None:
        model = network()
        optimizer = sgd(model)
        masks = random_masks(model)
        fit(model, optimizer, Masks.ones(model))
        fit(model, optimizer, masks)
        for name, weight in prunable(model).items():
            assert (optimizer.state[weight]["momentum_buffer"][~masks[name]] == 0).all()

    def test_attaching_sets_the_weights_to_zero(self) -> None:
        model = network()
        masks = random_masks(model)
        masks.attach(model, sgd(model))
        masks.check(model)

    def test_weights_stay_cut_even_if_gradients_were_not_masked(self) -> None:
        model = network()
        optimizer, masks = sgd(model), random_masks(model)
        masks.attach(model, optimizer)
        images, labels = batches(1)[0]
        loss_of(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        masks.check(model)

    def test_a_removed_guard_lets_weights_grow_again(self) -> None:
        model = network()
        optimizer, masks = sgd(model), random_masks(model)
        masks.attach(model, optimizer).remove()
        images, labels = batches(1)[0]
        loss_of(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with pytest.raises(AssertionError, match="are not zero"):
            masks.check(model)

    def test_an_optimizer_of_some_parameters_only(self) -> None:
        """Its state must not learn of parameters that it does not own."""
        model = network()
        head = [p for name, p in model.named_parameters() if name.startswith("6.")]
        optimizer = torch.optim.SGD(head, lr=0.1, momentum=0.9)
        fit(model, optimizer, random_masks(model))
        assert len(optimizer.state_dict()["state"]) == len(head)

    def test_a_scheduler_made_afterwards_works(self) -> None:
        model = network()
        optimizer, masks = sgd(model), random_masks(model)
        guard = masks.attach(model, optimizer)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
        for images, labels in batches(4):
            optimizer.zero_grad()
            loss_of(model(images), labels).backward()  # type: ignore[no-untyped-call]
            guard.mask_gradients()
            optimizer.step()
            scheduler.step()
            masks.check(model)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001)

    def test_the_model_stays_a_plain_one(self) -> None:
        """Copying, strict loading and torch.func know nothing of masks."""
        model = network()
        masks = random_masks(model)
        fit(model, sgd(model), masks)
        images, labels = batches(1)[0]
        model.eval()
        logits = model(images)
        clone, stock = copy.deepcopy(model), network(seed=1).eval()
        stock.load_state_dict(model.state_dict(), strict=True)
        for other in (clone, stock):
            masks.check(other)
            assert torch.equal(other(images), logits)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

        def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            return loss_of(functional_call(model, weights, (image[None],)), label[None])

        weights = {name: p.detach() for name, p in model.named_parameters()}
        per_image = vmap(grad(loss), (None, 0, 0))(weights, images, labels)
        model.zero_grad()
        loss_of(model(images), labels).backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            assert torch.allclose(per_image[name].mean(0), parameter.grad, atol=1e-12)
