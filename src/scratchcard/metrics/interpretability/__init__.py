"""What a network looks at, and whether an explanation of it can be trusted."""
