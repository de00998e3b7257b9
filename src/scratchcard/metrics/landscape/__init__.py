"""The geometry of the loss: how it changes about a network, in its weights and in its inputs."""
