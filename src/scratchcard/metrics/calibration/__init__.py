"""How honest a network's probabilities are."""
