"""The conformance suite for methods finds what it should: one fault a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import nn

from scratchcard.contracts import Context, Method, Moment, Narrower, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.channels import InitialChannels, TrainedChannels
from scratchcard.pruning.control import Control
from scratchcard.pruning.dynamic import DropAndGrow
from scratchcard.pruning.gmp import GradualMagnitude
from scratchcard.pruning.rigl import RiggedLottery
from scratchcard.pruning.small_dense import SmallDense
from scratchcard.pruning.sparse_evolutionary import SparseEvolutionaryTraining
from scratchcard.registry import METHODS, method
from scratchcard.structure import Channels
from scratchcard.testing import check_method
