"""The metrics that this process counts. (What is looked up at each scrape is in `webapp/core/metrics.py`.)"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()
requests_answered = Counter("cutlayer_requests", "Answers of this web process.", ["status"], registry=REGISTRY)
