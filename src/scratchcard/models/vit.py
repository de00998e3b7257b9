"""The Vision Transformer with torchvision's parameter names, small by default."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise
from scratchcard.models.options import check_dropout, check_positive
from scratchcard.registry import model


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a transformer ``factor`` times as wide, with as many heads."""
    heads = params["heads"]
    return {**params, "dim": heads * max(1, round(params["dim"] / heads * factor))}


@model("vit", narrower=narrower)
def vit(
    task: Task,
    *,
    patch: int = 4,
    dim: int = 192,
    depth: int = 6,
    heads: int = 3,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Module:
    """ViT: patches as tokens, pre-normalised self-attention and MLP blocks, a class token.

    With patch 16, dim 768, depth 12, heads 12, 224x224 images and 1,000 classes, checkpoints of
    torchvision's ``vit_b_16`` load strictly. Initial weights are torchvision's: patches from a
    truncated N(0, 1 / fan_in), queries, keys, values and MLPs from Xavier's uniform law, positions
    from N(0, 0.02^2), biases and class token from zero; but the last layer starts from a truncated
    N(0, 0.02^2), not from zero, which would leave every other weight without a gradient.
    Attention is computed step by step, without fused kernels, so that second derivatives exist.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021.
    Limits: patches must tile the image; it answers for images of the task's size only. Queries,
    keys and values are one parameter of the attention, no Linear layer.

    Args:
        task: What it must fit.
        patch: Side of a patch, in pixels.
        dim: Numbers that stand for a token; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads of a block.
        mlp_ratio: Hidden units of a block's MLP, as a multiple of ``dim``.
        dropout: Share of activations dropped in training.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    whole = {"patch": patch, "dim": dim, "depth": depth, "heads": heads}
    for (name, value), example in zip(whole.items(), (4, 192, 6, 3), strict=True):
        check_positive(name, value, example)
    check_positive("mlp_ratio", mlp_ratio, 4.0)
    check_dropout(dropout)
    if task.height % patch or task.width % patch:
        fit = [s for s in range(1, 33) if task.height % s == 0 and task.width % s == 0]
        raise UserError(
            f"patch = {patch} does not tile {task}; take one of {', '.join(map(str, fit))}"
        )
    if dim % heads:
        near = max(1, dim // heads) * heads
        raise UserError(f"dim = {dim} is no multiple of heads = {heads}; take {near}")
    tokens = (task.height // patch) * (task.width // patch) + 1
    hidden = max(1, round(dim * mlp_ratio))
    blocks = [Block(dim, heads, hidden, dropout) for _ in range(depth)]
    encoder = Encoder(tokens, dim, dropout, blocks)
    network = ViT(Normalise(mean, std, task.channels), task, patch, dim, encoder)
    _initialise(network)
    return network


class ViT(nn.Module):
    """Patches to tokens, the encoder, and a linear layer on the class token."""

    def __init__(
        self, normalise: Normalise, task: Task, patch: int, dim: int, encoder: Encoder
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv_proj = nn.Conv2d(task.channels, dim, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.encoder = encoder
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(dim, task.classes)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], [B, C, H, W], to logits [B, K]."""
        patches = self.conv_proj(self.normalise(images)).flatten(2).transpose(1, 2)
        first = self.class_token.expand(patches.shape[0], -1, -1)
        tokens = self.encoder(torch.cat([first, patches], dim=1))
        logits: torch.Tensor = self.heads(tokens[:, 0])
        return logits


class Encoder(nn.Module):
    """Positions are added, then come the blocks and a last normalisation."""

    def __init__(self, tokens: int, dim: int, dropout: float, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, dim))
        self.dropout = nn.Dropout(dropout)
        named = {f"encoder_layer_{number}": block for number, block in enumerate(blocks)}
        self.layers = nn.Sequential(OrderedDict(named))
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of [B, N, D] make the same shape."""
        out: torch.Tensor = self.ln(self.layers(self.dropout(tokens + self.pos_embedding)))
        return out


class Block(nn.Module):
    """Self-attention and an MLP, each normalised before and added to its input."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            *(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, dim), nn.Dropout(dropout)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, N, D] make the same shape."""
        y = self.ln_1(x)
        # Asked for its weights, PyTorch leaves the fused kernels, which have no second derivative.
        attended = self.self_attention(y, y, y, need_weights=True, average_attn_weights=False)[0]
        x = x + self.dropout(attended)
        out: torch.Tensor = x + self.mlp(self.ln_2(x))
        return out


def _initialise(network: ViT) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for layer in module.mlp.children():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
    patches = network.conv_proj
    nn.init.trunc_normal_(patches.weight, std=patches.weight[0].numel() ** -0.5)
    assert patches.bias is not None
    nn.init.zeros_(patches.bias)
    nn.init.normal_(network.encoder.pos_embedding, std=0.02)
    for head in network.heads.children():
        assert isinstance(head, nn.Linear)
        nn.init.trunc_normal_(head.weight, std=0.02)
