"""What a browser sends of the form of a run."""

from __future__ import annotations

from webapp.runs.configure.forms import to_text
from webapp.runs.configure.schema import field_specs
from webapp.runs.configure.values import value_at


def data_of(config):
    """A configuration as a browser would send it."""
    data = {}
    for spec in field_specs():
        text = to_text(spec, value_at(config, spec))
        if spec.kind != "flag" or text:
            data[spec.path] = "on" if text is True else text
    return data


def posted(client, w, **more):
    """A draft as it stands, with `more` changed in the form."""
    run = w.fresh()
    data = {**data_of(run.config), "name": run.name, "project": w.project.id, "run": run.id}
    data["version"] = run.draft_version
    for place in (0, 1):
        data |= {
            f"dataset.{w.organisations[place].id}": w.versions[place].id,
            f"receives.{w.organisations[place].id}": "on",
        }
    return {**data, "server": w.workers[2].id, **more}
