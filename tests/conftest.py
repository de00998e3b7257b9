"""Settings of all tests."""

from hypothesis import settings

# The same examples in every run, and no deadline: machines are slow at times.
settings.register_profile("scratchcard", deadline=None, derandomize=True)
settings.load_profile("scratchcard")
