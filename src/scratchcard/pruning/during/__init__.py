"""Methods whose mask moves while the network trains."""
