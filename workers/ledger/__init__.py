"""The ledger of all that leaves a worker: requests and messages to the hub, and tensor frames to other sites."""
