"""A study: what is to be done, read from TOML or Python with every mistake named at once."""

from scratchcard.study.choices import Choice
from scratchcard.study.problems import Problem, StudyError
from scratchcard.study.sections import Ladder, Pruning, Training, VerdictRules
from scratchcard.study.study import Study

__all__ = [
    "Choice",
    "Ladder",
    "Problem",
    "Pruning",
    "Study",
    "StudyError",
    "Training",
    "VerdictRules",
]
