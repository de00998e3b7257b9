"""Training under a guard, against multiplication by the mask in the forward pass."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from scratchcard.contracts import UserError
from scratchcard.guard import Guard
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

    @pytest.mark.parametrize("clip", [0.0, 0.05])
    def test_adamw_equals_masking_in_the_forward_pass(self, clip: float) -> None:
        ours, reference = network(), network()
        masks = random_masks(ours)
        optimizer = torch.optim.AdamW(ours.parameters(), lr=0.01, amsgrad=True)
        fit(ours, optimizer, masks, clip)
        twin = torch.optim.AdamW(reference.parameters(), lr=0.01, amsgrad=True)
        fit_reference(reference, twin, masks, clip)
        for value, other in zip(ours.parameters(), reference.parameters(), strict=True):
            assert torch.allclose(value, other, rtol=0, atol=1e-12)
        for name, weight in prunable(ours).items():
            state = optimizer.state[weight]
            assert float(state["step"]) == 50
            for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                assert (state[key][~masks[name]] == 0).all()
                assert (state[key][masks[name]] != 0).any()

    @pytest.mark.parametrize("late", [False, True])
    def test_gradients_must_be_masked_before_clipping(self, late: bool) -> None:
        """Afterwards, the gradients of cut weights would have counted in the norm."""
        ours, reference = network(), network()
        masks, clip = random_masks(ours), 0.05
        fit_reference(reference, sgd(reference), masks, clip)
        optimizer = sgd(ours)
        guard = masks.attach(ours, optimizer)
        for images, labels in batches():
            optimizer.zero_grad()
            loss_of(ours(images), labels).backward()  # type: ignore[no-untyped-call]
            if not late:
                guard.mask_gradients()
            nn.utils.clip_grad_norm_(ours.parameters(), clip)
            guard.mask_gradients()
            optimizer.step()
        worst = max(
            float((a - b).detach().abs().max())
            for a, b in zip(ours.parameters(), reference.parameters(), strict=True)
        )
        assert (worst > 1e-3) if late else (worst < 1e-12)

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


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=5e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.5),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.05),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
}


def masked_by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> None:
    """Weights and all optimiser state set to zero where the mask says so."""
    with torch.no_grad():
        for name, weight in prunable(model).items():
            weight[~masks[name]] = 0
            for state in optimizer.state[weight].values():
                if isinstance(state, Tensor) and state.shape == weight.shape:
                    state[~masks[name]] = 0


def backward(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]
) -> None:
    """Gradients of one batch."""
    optimizer.zero_grad()
    loss_of(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]


class TestEveryOptimizer:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_same_bits_as_masking_weights_and_state_at_every_step(self, name: str) -> None:
        ours, reference = network(), network()
        masks = random_masks(ours)
        one, two = (OPTIMIZERS[name](list(m.parameters())) for m in (ours, reference))
        guard = masks.attach(ours, one)
        masks.apply_(reference)
        for batch in batches(12):
            backward(ours, one, batch)
            guard.mask_gradients()
            one.step()
            masks.check(ours)
            backward(reference, two, batch)
            for layer, weight in prunable(reference).items():
                assert weight.grad is not None
                weight.grad[~masks[layer]] = 0
            two.step()
            masked_by_hand(reference, two, masks)
        for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_switching_resets_exactly_what_changes(self, name: str) -> None:
        model = network()
        old, new = random_masks(model, seed=0), random_masks(model, seed=1)
        optimizer = OPTIMIZERS[name](list(model.parameters()))
        guard = old.attach(model, optimizer)
        for batch in batches(5):
            backward(model, optimizer, batch)
            guard.mask_gradients()
            optimizer.step()
        held = {
            layer: [
                weight,
                *(s for s in optimizer.state[weight].values() if s.shape == weight.shape),
            ]
            for layer, weight in prunable(model).items()
        }
        before = {layer: [v.detach().clone() for v in values] for layer, values in held.items()}
        places = {layer: [v.data_ptr() for v in values] for layer, values in held.items()}
        guard.switch(new)
        for layer, values in held.items():
            stays = old[layer] & new[layer]
            assert [v.data_ptr() for v in values] == places[layer]
            for now, then in zip(values, before[layer], strict=True):
                assert torch.equal(now[stays], then[stays])
                assert not now[~stays].any()
                assert not now[~stays].signbit().any()
        backward(model, optimizer, batches(1)[0])
        guard.mask_gradients()
        optimizer.step()
        new.check(model)
        for layer, weight in prunable(model).items():
            grown = new[layer] & ~old[layer]
            assert weight[grown].any(), f"nothing grows in {layer}"


class TestSwitching:
    def test_masks_are_not_multiplied_up(self) -> None:
        """There and back again is the first mask, not the intersection."""
        model = network()
        one, two = random_masks(model, seed=0), random_masks(model, seed=1)
        optimizer = sgd(model)
        guard = one.attach(model, optimizer)
        cumulative = {name: mask.clone() for name, mask in one.items()}  # the faulty way
        for masks in (two, one, two, one):
            guard.switch(masks)
            cumulative = {name: cumulative[name] & masks[name] for name in masks}
            for batch in batches(3):
                backward(model, optimizer, batch)
                guard.mask_gradients()
                optimizer.step()
        for name, weight in prunable(model).items():
            # A unit behind a ReLU may be dead, but most weights that are kept live.
            alive = int((weight != 0).sum())
            assert int(cumulative[name].sum()) < 0.8 * alive <= 0.8 * int(one[name].sum())
        one.check(model)

    def test_masks_that_are_changed_in_place_are_noticed(self) -> None:
        model = network()
        masks = random_masks(model)
        guard = masks.attach(model, sgd(model))
        layer = "4.weight"
        row, column = (masks[layer] & (prunable(model)[layer] != 0)).nonzero()[0]
        masks[layer][row, column] = False
        guard.switch(masks)
        masks.check(model)

    def test_masks_of_another_network_are_refused_before_anything_changes(self) -> None:
        model = network()
        masks = random_masks(model)
        guard = masks.attach(model, sgd(model))
        before = copy.deepcopy(model.state_dict())
        other = Masks({name: mask for name, mask in masks.items() if name != "6.weight"})
        with pytest.raises(UserError, match="of another network than those attached"):
            guard.switch(other)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])


class TestNumbersThatAreNone:
    """Of floats, zero times infinity is not a number, and zero times -1 is -0.0."""

    @pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan, -1.0])
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    def test_no_gradient_of_a_cut_weight_reaches_anything(
        self, bad: float, dtype: torch.dtype
    ) -> None:
        model = nn.Linear(3, 2).to(dtype)
        masks = Masks({"weight": torch.tensor([[True, False, True], [False, True, False]])})
        start = model.weight.detach().clone() * masks["weight"]
        assert model.bias is not None
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
        with masks.attach(model, optimizer) as guard:
            model.weight.grad = torch.full((2, 3), bad, dtype=dtype)
            model.weight.grad[masks["weight"]] = 0.25
            model.bias.grad = torch.zeros(2, dtype=dtype)
            product = model.weight.grad * masks["weight"]  # the faulty way
            faulty = product[~masks["weight"]]
            assert bool((faulty.isnan() | (faulty.signbit() & (faulty == 0))).all())
            guard.mask_gradients()
            zeros = model.weight.grad[~masks["weight"]]
            assert torch.equal(zeros, torch.zeros(3, dtype=dtype))
            assert not zeros.signbit().any()
            optimizer.step()
        masks.check(model)
        assert torch.equal(model.weight.detach(), start - 0.25 * masks["weight"].to(dtype))
        assert optimizer.state[model.weight]["momentum_buffer"].isfinite().all()

    def test_the_hook_clears_them_where_gradients_were_not_masked(self) -> None:
        model = nn.Linear(2, 1, bias=False)
        masks = Masks({"weight": torch.tensor([[True, False]])})
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        with masks.attach(model, optimizer):
            model.weight.grad = torch.tensor([[0.5, torch.nan]])
            optimizer.step()
        masks.check(model)
        assert model.weight.isfinite().all()

    def test_those_of_kept_weights_are_not_hidden(self) -> None:
        model = nn.Linear(2, 1, bias=False)
        masks = Masks({"weight": torch.tensor([[True, False]])})
        with masks.attach(model, torch.optim.SGD(model.parameters(), lr=1.0)) as guard:
            model.weight.grad = torch.tensor([[torch.nan, torch.nan]])
            guard.mask_gradients()
            assert model.weight.grad.isnan().tolist() == [[True, False]]


class TestCopiesAndResuming:
    @pytest.mark.parametrize("attached", [True, False])
    def test_a_resumed_ticket_stays_sparse(self, attached: bool, tmp_path: Path) -> None:
        """Weights and optimiser come back by themselves; the guard must be attached anew."""
        model = network()
        masks, optimizer = random_masks(model), sgd(model)
        whole = copy.deepcopy(model)
        fit(whole, sgd(whole), masks)
        with masks.attach(model, optimizer) as guard:
            _some(model, optimizer, guard, batches()[:20])
        torch.save([model.state_dict(), optimizer.state_dict()], tmp_path / "checkpoint.pt")
        masks.save(tmp_path / "masks.safetensors")

        fresh = network(seed=1)
        again = sgd(fresh)
        weights, state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        fresh.load_state_dict(weights, strict=True)
        again.load_state_dict(state)
        loaded = Masks.load(tmp_path / "masks.safetensors")
        loaded.check(fresh)
        guard = loaded.attach(fresh, again) if attached else None  # type: ignore[assignment]
        _some(fresh, again, guard, batches()[20:])
        zeros = sum(int((w == 0).sum()) for w in prunable(fresh).values())
        if attached:
            assert zeros == masks.total - masks.kept
            for a, b in zip(fresh.parameters(), whole.parameters(), strict=True):
                assert torch.equal(a, b)
        else:
            assert zeros < 0.1 * (masks.total - masks.kept)

    def test_the_hook_does_not_travel_with_copies(self) -> None:
        """A copy is a plain pair that trains densely until masks are attached to it."""
        model = network()
        masks, optimizer = random_masks(model), sgd(model)
        guard = masks.attach(model, optimizer)
        _some(model, optimizer, guard, batches(3))
        twin, other = copy.deepcopy((model, optimizer))
        masks.check(twin)
        _some(twin, other, masks.attach(twin, other), batches(3))
        masks.check(twin)
        _some(model, optimizer, guard, batches(3))
        for a, b in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_state_of_a_dense_run_that_is_loaded_later_moves_no_cut_weight(self) -> None:
        model, dense = network(), network()
        other = sgd(dense)
        _some(dense, other, None, batches(3))
        masks, optimizer = random_masks(model), sgd(model)
        guard = masks.attach(model, optimizer)
        optimizer.load_state_dict(other.state_dict())
        for batch in batches(3):
            _some(model, optimizer, guard, [batch])
            masks.check(model)


def _some(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    guard: Guard | None,
    examples: list[tuple[Tensor, Tensor]],
) -> None:
    for batch in examples:
        backward(model, optimizer, batch)
        if guard is not None:
            guard.mask_gradients()
        optimizer.step()
