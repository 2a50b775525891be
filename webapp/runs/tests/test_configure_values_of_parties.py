"""Values of an organisation's own in the form: its section, its fields of the YAML, what it costs."""

from __future__ import annotations

import pytest
from django.urls import reverse

from splitcore.config import RunConfig
from webapp.runs.configure.options import party_options
from webapp.runs.configure.preview import preview_build
from webapp.runs.tests import factories as make
from webapp.runs.tests.form_data import posted

pytestmark = pytest.mark.django_db
MODELS = [(make.MODEL, make.MODEL)]


def _own(w, place, **values):
    """Fields of an organisation, as the section sends them."""
    key = w.organisations[place].id
    return {"overrides.shown": " ".join(w.organisations[p].id for p in (0, 1))} | {
        f"party.{key}.{name}": value for name, value in values.items()
    }


def test_an_organisation_has_values_of_its_own_that_survive_saving_and_stand_in_the_yaml(client):
    w = make.world()
    client.force_login(w.engineer)
    url = reverse("runs:edit", args=[w.run.id])
    client.post(url, posted(client, w, action="save", **_own(w, 1, batch_size="4")))
    party = w.part(1).party
    assert w.fresh().config["parties"] == {party: {"batch_size": 4}}
    page = client.get(url).content.decode()
    assert f'name="party.{w.organisations[1].id}.batch_size"\n' in page
    assert f"parties:\n  {party}:\n" in page
    client.post(url, posted(client, w, action="save", **_own(w, 1, batch_size="")))
    assert "parties" not in w.fresh().config


def test_values_of_organisations_come_from_the_yaml(client):
    w = make.world()
    client.force_login(w.engineer)
    url, party = reverse("runs:edit", args=[w.run.id]), w.part(0).party
    text = f"model: {{name_or_path: acme/tiny}}\nparties:\n  {party}: {{batch_size: 16}}\n  stranger: {{rank: 4}}\n"
    client.post(url, posted(client, w, action="yaml", yaml=text))
    page = client.get(url).content.decode()
    assert 'value="16"' in page
    assert "a data party of this run" in page
    client.post(url, posted(client, w, action="save", **{"overrides.shown": "", **_own(w, 0)}))
    assert w.fresh().config["parties"]["stranger"] == {"rank": 4}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rank": "4"}, "need the same rank"),
        ({"head_layers": "1"}, "need the same cut"),
        ({"rank": "-3"}, "greater than or equal to 1"),
        ({"batch_size": "many"}, "Enter a whole number."),
    ],
)
def test_a_value_that_the_run_cannot_honour_is_refused_beside_its_field(client, values, words):
    w = make.world()
    client.force_login(w.engineer)
    data = posted(client, w, action="submit", **_own(w, 0, **values))
    response = client.post(reverse("runs:edit", args=[w.run.id]), data)
    page = response.content.decode()
    assert response.status_code == 422
    assert "CL-1001" in page
    name = next(iter(values))
    beside = page.split(f'id="f-party-{w.organisations[0].id}-{name}-error"')[1].split("</p>")[0]
    assert words in beside
    assert f'value="{values[name]}"' in page


def test_the_section_follows_the_choice_of_organisations(client):
    w = make.world()
    client.force_login(w.engineer)
    same = client.post(reverse("runs:preview"), posted(client, w, **_own(w, 0))).content.decode()
    assert 'id="overrides"' not in same
    other = client.post(reverse("runs:preview"), posted(client, w, **{"overrides.shown": ""})).content.decode()
    assert 'id="overrides"' in other


def test_the_estimate_counts_what_an_organisation_sets_for_itself():
    w = make.world()
    config = make.config(parties={w.part(1).party: {"batch_size": 8}})
    preview = preview_build(w.project, RunConfig.parse(config), party_options(w.project, w.run), [])
    assert preview.plan is not None
    common, own = (preview.plan.clients[w.part(place).party].traffic.parts["activations"] for place in (0, 1))
    assert own == 4 * common
