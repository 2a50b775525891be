"""What the fork server imports once, so that no benchmark's process pays for it; no thread is started here."""

from __future__ import annotations

import splitcore.training.client
import splitcore.training.server
import splitcore.wire.transport.grpc_channel
import splitcore.wire.transport.grpc_listener  # noqa: F401
