"""The loss, the global norm, clipping and the optimiser: the same for client, server and the unsplit run."""
