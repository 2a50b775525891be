"""Reads of runs."""

from webapp.runs.selectors.access import run_get_for, runs_visible_to, visible_parents
from webapp.runs.selectors.inbox import inbox_for, needs_action_count
from webapp.runs.selectors.tables import domain_table

__all__ = ["domain_table", "inbox_for", "needs_action_count", "run_get_for", "runs_visible_to", "visible_parents"]
