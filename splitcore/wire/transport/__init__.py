"""What carries a session: gRPC under mutual TLS with pinned certificates, dialled again when it breaks; or memory."""

import os

# In a forked child gRPC starts its poller again, and ends the child where `subprocess` has closed the poller's
# descriptor before the program started (grpc issue 43055). Nothing here speaks gRPC on both sides of a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
