"""What a network costs: how much of it is left, and how much of that does anything."""
