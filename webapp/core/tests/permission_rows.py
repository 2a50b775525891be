"""Who gets what from the routes that belong to no domain."""

from __future__ import annotations

from webapp.orgs.tests.permission_table import Row, expect, public

ROWS = [
    Row("core:landing", {"GET": expect(200, 302, 302, 302, 302)}),
    Row("core:error_index", {"GET": public()}),
    Row("core:error_help", {"GET": public()}, {"code": "=CL-1601"}),
    Row("core:health", {"GET": public()}),
    Row("core:alive", {"GET": public()}),
    Row("core:metrics", {"GET": public()}),  # the test's client is on loopback; test_health.py asks from elsewhere
    Row("core:styleguide", {"GET": public()}),
]
