"""Two tabs on one draft: the later save is told what the other changed, and nothing is overwritten silently."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.services import PartyChoice, run_draft_save
from webapp.runs.tests import factories as make
from webapp.runs.tests.form_data import posted

pytestmark = pytest.mark.django_db


class Tab:
    """One open configure page: what it was filled with, and what is typed into it."""

    def __init__(self, w, user, client=None):
        self.client = client or Client()
        self.client.force_login(user)
        self.url = reverse("runs:edit", args=[w.run.id])
        page = self.client.get(self.url).content.decode()
        self.data = posted(self.client, w, version=_hidden(page, "version"), tab=_hidden(page, "tab"))

    def type(self, **fields):
        """Type, and let the page save itself."""
        self.data |= {name.replace("__", "."): value for name, value in fields.items()}
        page = self.client.post(reverse("runs:preview"), self.data).content.decode()
        self.data["version"] = _hidden(page, "version")
        if 'name="conflict_version"' in page:
            self.data["conflict_version"] = _hidden(page, "conflict_version")
        return page

    def press(self, action):
        """Press a button."""
        return self.client.post(self.url, {**self.data, "action": action})


def _hidden(page, name):
    return re.search(rf'name="{name}"[^>]*value="([^"]*)"', page).group(1)


def test_a_second_tab_is_told_what_the_first_one_saved_and_overwrites_nothing():
    w = make.world()
    first, second = Tab(w, w.engineer), Tab(w, w.engineer)
    assert "Draft saved" in first.type(training__steps="77")
    page = second.type(lora__rank="2")
    assert "Not saved" in page
    for words in ("Steps\n", "77", "You, in another tab", "CL-1540"):
        assert words in page
    assert w.fresh().config["training"]["steps"] == 77
    assert "lora" not in w.run.config
    answer = second.press("save")
    assert answer.status_code == 409
    assert w.fresh().config["training"]["steps"] == 77


def test_taking_the_saved_values_keeps_what_only_this_tab_changed():
    w = make.world()
    first, second = Tab(w, w.engineer), Tab(w, w.engineer)
    first.type(training__steps="77")
    second.type(lora__rank="2")
    assert second.press("take-theirs").status_code == 302
    assert (w.fresh().config["training"]["steps"], w.run.config["lora"]["rank"]) == (77, 2)


def test_keeping_the_own_values_is_a_choice_too_and_covers_only_what_was_shown():
    w = make.world()
    first, second = Tab(w, w.engineer), Tab(w, w.engineer)
    first.type(training__steps="77")
    second.type(lora__rank="2")
    first.type(name="Changed once more")
    assert second.press("keep-mine").status_code == 409  # the name was not shown when the person chose
    second.type()
    assert second.press("keep-mine").status_code == 302
    assert (w.fresh().config["training"]["steps"], w.run.name) == (4, "First run")


def test_a_tab_is_never_in_conflict_with_its_own_saves():
    w = make.world()
    tab = Tab(w, w.engineer)
    old = dict(tab.data)
    tab.type(training__steps="5")
    tab.data = old | {"training.steps": "6"}  # a button was pressed while the answer was on its way
    assert tab.press("save").status_code == 302
    assert w.fresh().config["training"]["steps"] == 6


def test_a_colleague_is_named_and_so_is_the_party_that_was_changed():
    w = make.world()
    colleague = member(w.organisations[0], Role.ENGINEER)
    tab = Tab(w, w.engineer)
    run_draft_save(
        actor=colleague, project=w.project, organisation=w.organisations[0], name="First run", config=w.run.config,
        run=w.run, public_prompts=w.run.public_prompts,
        parties=[PartyChoice("client", w.workers[0].id, w.versions[0].id), PartyChoice("server", w.workers[2].id)],
    )  # fmt: skip
    page = tab.type(note="mine")
    for words in (str(colleague), f"Beta bank, dataset on {w.workers[1].name}", "not taking part"):
        assert words in page
    assert tab.press("take-theirs").status_code == 302
    assert w.fresh().participants.count() == 2
    assert w.run.note == "mine"


def test_two_tabs_that_agree_are_in_no_conflict():
    w = make.world()
    first, second = Tab(w, w.engineer), Tab(w, w.engineer)
    first.type(training__steps="77")
    assert "Draft saved" in second.type(training__steps="77")
