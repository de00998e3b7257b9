"""Methods that prune at initialisation: scores of an untrained network."""
