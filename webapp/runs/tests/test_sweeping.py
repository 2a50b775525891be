"""The sweep goes over every run, whatever one of them does to it."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from webapp.core.health import SWEEP_FAILURES_KEY, SWEEP_KEY
from webapp.core.metrics import exposition
from webapp.runs import sweeping, tasks
from webapp.runs.tests.factories import started

pytestmark = pytest.mark.django_db


def test_a_run_that_fails_the_sweep_keeps_no_other_one_back(monkeypatch, caplog):
    runs = [started(prefix=name).run.id for name in ("First ", "Second ", "Third ")]
    swept = []

    def look(run, *rest):
        swept.append(run.id)
        if len(swept) == 1:
            raise ValueError("a row that nobody foresaw")

    monkeypatch.setattr(sweeping, "_note_absence", look)
    cache.delete_many([SWEEP_KEY, SWEEP_FAILURES_KEY])
    tasks.sweep()
    assert sorted(swept) == sorted(runs)
    assert b"cutlayer_sweep_failures 1.0" in exposition()
    assert swept[0] in caplog.text
    assert cache.get(SWEEP_KEY) is not None
