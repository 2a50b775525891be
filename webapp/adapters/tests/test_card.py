"""The model card and the snippet hold what people and workers wrote as text, and nothing of it becomes a program."""

from __future__ import annotations

import ast

import pytest
from django.utils import timezone
from pydantic import ValidationError

from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.adapters.card import model_card, snippet
from webapp.adapters.models import Adapter
from webapp.fleet.models import WorkerModel
from webapp.runs.models import Run
from webapp.runs.services import run_draft_save
from webapp.runs.tests import factories as make
from workers.contracts import ModelRegistration

pytestmark = pytest.mark.django_db
CODE = 'main"); import os; os.system("true"); ("'


def _calls(text):
    functions = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [one.attr if isinstance(one, ast.Attribute) else ast.unparse(one) for one in functions]


def _adapter(w):
    adapter = Adapter(run=w.run, state="ready")
    adapter.created_at = timezone.now()
    return adapter


def _registration(**fields):
    values = {"model_id": make.MODEL, "manifest_hash": make.MANIFEST, "config": {}, "parameters": 1, "bytes": 1}
    return ModelRegistration(**{**values, **fields})


def test_values_of_others_stay_texts_in_the_snippet():
    w = make.world()
    make.submit(w)
    w.run.public_prompts = [f"```\n{CODE}\u2028\\"]
    plain = _calls(snippet(_adapter(w)))
    assert plain == _calls(snippet(_adapter(w), CODE))
    assert "system" not in plain
    constants = {n.value for n in ast.walk(ast.parse(snippet(_adapter(w), CODE))) if isinstance(n, ast.Constant)}
    assert {CODE, w.run.public_prompts[0], make.MODEL} <= constants


@pytest.mark.parametrize("fields", [{"revision": CODE}, {"model_id": CODE}, {"model_id": "../x"}, {"revision": "-x y"}])
def test_no_worker_registers_a_name_that_is_none(fields):
    with pytest.raises(ValidationError):
        _registration(**fields)


def test_a_registration_with_a_commit_a_tag_or_a_branch_is_taken():
    for revision in ("", "main", "v1.0+fix", "refs/pr/1", "a" * 40):
        assert _registration(revision=revision).revision == revision


@pytest.mark.parametrize("field", ["revision", "name_or_path"])
def test_no_configuration_names_a_model_by_a_program(field):
    with pytest.raises(AppError) as caught:
        RunConfig.parse({"model": {"name_or_path": make.MODEL, field: CODE}})
    assert caught.value.code == "CL-1001"
    RunConfig.parse({"model": {"name_or_path": "/srv/Anna's models/tiny (2)", "revision": None}})


@pytest.mark.parametrize("liar", range(3))
def test_one_workers_revision_alone_binds_nobody(liar):
    w = make.world()
    WorkerModel.objects.filter(worker=w.workers[liar]).update(revision="v2")
    with pytest.raises(AppError, match="CL-1005"):
        make.submit(w)
    assert not w.fresh().contract


def test_the_revision_of_all_workers_is_pinned():
    w = make.world()
    WorkerModel.objects.update(revision="v2")
    make.submit(w)
    assert w.run.config["model"]["revision"] == "v2"


def test_a_runs_name_is_one_plain_line():
    w = make.world()
    lines = "Triage\n\n## Use\r\n```python\x00\x85"
    run_draft_save(
        actor=w.engineer, project=w.project, organisation=w.organisations[0], run=w.run, name=lines, config=w.run.config
    )
    assert "\n" not in w.fresh().name
    assert w.run.name.isprintable()
    make.submit(w)
    Run.objects.filter(pk=w.run.pk).update(name=lines.replace("\x00", ""))  # as older hubs let it in
    w.fresh()
    headings = [line for line in model_card(_adapter(w)).splitlines() if line.startswith("## Use")]
    assert headings == ["## Use"]
