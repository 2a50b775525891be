"""The worker-facing API below /api/worker/v1: signed requests, strict bodies, no place for a row of a dataset."""
