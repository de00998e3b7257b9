"""What the parts of scratchcard promise each other: values, specs and the method protocol.

Nothing here imports torch, so that planning, status and help stay quick.
"""

from scratchcard.contracts.corruptions import ErrorRates
from scratchcard.contracts.methods import Architecture, Context, Method, Moment, Narrower
from scratchcard.contracts.specs import (
    NEED_OPTIONS,
    NEEDS,
    VOTING,
    ConceptsSpec,
    DatasetSpec,
    Dimension,
    MethodSpec,
    MetricSpec,
    ModelSpec,
    Option,
    Spec,
)
from scratchcard.contracts.values import NotApplicable, Part, Reading, Step, Task, UserError

__all__ = [
    "NEEDS",
    "NEED_OPTIONS",
    "VOTING",
    "Architecture",
    "ConceptsSpec",
    "Context",
    "DatasetSpec",
    "Dimension",
    "ErrorRates",
    "Method",
    "MethodSpec",
    "MetricSpec",
    "ModelSpec",
    "Moment",
    "Narrower",
    "NotApplicable",
    "Option",
    "Part",
    "Reading",
    "Spec",
    "Step",
    "Task",
    "UserError",
]
