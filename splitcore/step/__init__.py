"""One optimiser step of a split run: the walk of a micro-batch, the pipeline, and the update that all sides share."""
