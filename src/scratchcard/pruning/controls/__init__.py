"""No contenders: dense baselines, and other methods with one thing undone."""
