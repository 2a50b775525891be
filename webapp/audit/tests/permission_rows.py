"""Who gets what from the routes of `audit`."""

from __future__ import annotations

from webapp.orgs.tests.permission_table import Row, expect

READERS = expect(302, 200, 403, 403, 200)  # administrators and auditors, each of their own organisation's
API_READERS = expect(401, 200, 403, 403, 200)

ROWS = [
    Row("audit:log", {"GET": READERS}),
    Row("audit:verify", {"GET": expect(302, 405, 405, 405, 405), "POST": READERS}),
    Row("audit:export", {"POST": READERS}, {"form": "=csv"}),
    Row("audit:hub_key", {"GET": READERS}),
    Row("GET /api/v1/audit", {"GET": API_READERS}, kind="api"),
    Row("GET /api/v1/audit/verify", {"GET": API_READERS}, kind="api"),
]
