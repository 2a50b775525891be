"""The datasets of a project, as its members see them."""

from __future__ import annotations

import pytest
from django.utils import timezone

from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_project_tells_which_of_its_datasets_have_left_their_worker(client):
    w = make.world()
    w.versions[1].missing_at = timezone.now()
    w.versions[1].save()
    client.force_login(w.engineer)
    page = client.get(f"/projects/{w.project.pk}/datasets").content.decode()
    rows = page.split("<tbody>")[1].split("</tbody>")[0].split('<th scope="row">')[1:]
    told = {("Beta bank" in row, "Gone from the worker" in row) for row in rows}
    assert told == {(True, True), (False, False)}
    assert "Offered to</th>" not in page
