"""How Django's cache writes its values: as JSON, which is data whoever wrote it, where a pickle would be code."""

from __future__ import annotations

import json
from typing import Any


class JsonSerializer:
    """What `RedisCache` asks of a serialiser. A value that is not JSON counts as absent."""

    def dumps(self, value: Any) -> Any:
        """Integers stay as they are, so that Redis can count with them."""
        return value if type(value) is int else json.dumps(value)

    def loads(self, data: bytes) -> Any:
        """The value, or none."""
        try:
            return json.loads(data)
        except ValueError:
            return None
