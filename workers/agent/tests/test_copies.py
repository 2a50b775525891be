"""A worker that the hub has met twice says so: in its log, to its doctor and on its own page."""

from __future__ import annotations

import logging

import pytest

from workers.agent.service import Agent
from workers.agent.tests.site import Site
from workers.console.tests.conftest import RunningConsole, console
from workers.copies import copy_forget, copy_note, copy_seen
from workers.doctor import run_checks
from workers.settings import WorkerConfig

__all__ = ["console"]  # the fixture of the worker's own page


def test_the_agent_notes_and_logs_a_copy_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(site.home, WorkerConfig.load(site.home))
    with caplog.at_level(logging.ERROR):
        agent._on_wake("peer")
        assert copy_seen(site.home) is None
        for _ in range(3):
            agent._on_wake("copy")
    assert copy_seen(site.home) is not None
    assert [record.getMessage()[:7] for record in caplog.records].count("CL-1419") == 1
    agent._hub.close()


def test_the_doctor_names_a_copy_until_the_key_is_a_new_one(site: Site) -> None:
    assert "CL-1419" not in [check.code for check in run_checks(site.home)]
    copy_note(site.home)
    assert "CL-1419" in [check.code for check in run_checks(site.home)]
    copy_forget(site.home)
    assert "CL-1419" not in [check.code for check in run_checks(site.home)]


def test_the_worker_s_own_page_names_a_copy(console: RunningConsole) -> None:
    assert "CL-1419" not in console.browser().http.get("/").text
    copy_note(console.home)
    page = console.browser().http.get("/").text
    assert "CL-1419" in page
    assert "rotate-key" in page
