"""Methods that score a trained network, prune it, and train what is left again."""
