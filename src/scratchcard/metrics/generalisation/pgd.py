"""Accuracy under projected gradient descent."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.noise import start
from scratchcard.metrics.attacks.pgd import pgd as attack
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "pgd",
    title="PGD accuracy",
    dimension="generalisation",
    better="higher",
    costly=True,
    version=2,
    caution=(
        "An upper bound on robust accuracy that holds only for this attack; undefended networks "
        "are at 0 at 8/255, dense and sparse alike: read the robustness curve instead."
    ),
)
def pgd(
    model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    steps: int = 20,
    step: float = 0.25,
    restarts: int = 1,
    images: int = 0,
    stderr: float = 0.0,
    seed: int = 0,
    batch_size: int = 256,
) -> Reading:
    """Accuracy after projected gradient descent from random starts.

    Definition:
        From a random point of the ball about the image, pixels move step by step in the direction
        that raises the loss of the label, back into the ball after each step. An image counts as
        right if every point on every way was classified rightly, and the image itself too, which
        is the part "clean".

    Formula:
        x_0 = P(x + eps u), u ~ U[-1, 1];  x_(t+1) = P(x_t + step eps sign(grad L(x_t)));
        P clips to |x' - x| <= eps and to [0, 1];  L = log sum_(k != y) exp z_k - z_y, which has
        the direction of the cross-entropy's gradient and never underflows.

    Motivation:
        The standard adversary: one step of FGSM says little about what a patient one can do.

    Advantages:
        Far stronger than FGSM on curved networks, exact for a linear one of two classes.
        Over-confidence does not blunt it: the factor 1 - p_y, which underflows, is left out.

    Limitations:
        It costs up to steps x restarts gradients an image. The loss mixes classes: with more than
        two, even for a linear network it is not exact (AutoAttack is). Flat or misleading
        gradients stop it: read gradient-masking beside it.

    Source:
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018:
        eps 8/255 and steps of 2/255, which is a quarter of eps.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        steps: Gradients an image gets from each start; those that fool the network end it.
        step: Length of a step as a share of eps; another habit is 2.5 / steps.
        restarts: How many random starts.
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        seed: Of the random starts, which depend on it and on the image alone.
        batch_size: Images per step; it changes the time, not the answer.
    """
    check_eps(eps)
    check_counts(steps=steps, restarts=restarts)
    if not 0 < step <= 2:
        raise UserError(f"step is a share of eps, above 0 and at most 2, not {step}")
    target = Target.of(model, test, batch_size=batch_size, images=images, stderr=stderr)
    clean = standing = target.predictions().correct

    def strike(network: nn.Module, images: Tensor, labels: Tensor, *, restart: int) -> Tensor:
        begin = start(images, seed, "pgd", restart)
        return attack(network, images, labels, eps=eps, steps=steps, step=step, start=begin)

    for restart in range(restarts):
        standing = target.left(partial(strike, restart=restart), standing)
    return mean_reading(standing, parts={"clean": share(clean)})
