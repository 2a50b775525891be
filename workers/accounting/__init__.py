"""The privacy ledger of a worker: what its rows have spent by releases with noise, across runs and versions."""
