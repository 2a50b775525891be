"""The worker-facing API below /api/worker/v1: signed requests with strict bodies, and no place for a row of a dataset."""
