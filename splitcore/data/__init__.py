"""Rows to batches: row forms, templates and tokens, the seeded sampler (torch-free), and padding (torch)."""
