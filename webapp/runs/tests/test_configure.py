"""The form that RunConfig makes: round trip, messages, presets, YAML, preview; nothing typed is lost."""

from __future__ import annotations

import html
import re
import time

import pytest
from django.urls import reverse

from splitcore.codecs.registry import CHOICES
from splitcore.config import RunConfig
from splitcore.data.task import TASKS
from splitcore.errors import AppError
from splitcore.fields import names_of
from splitcore.methods.registry import METHODS
from splitcore.privacy.registry import DEFENCES
from splitcore.schedules.registry import SCHEDULES
from webapp.fleet.models import Worker, WorkerModel, WorkerState
from webapp.runs.configure.forms import ConfigForm, to_text
from webapp.runs.configure.presets import PRESETS, preset_apply
from webapp.runs.configure.preview import idle_warnings
from webapp.runs.configure.schema import AT_NO_SITE, field_specs
from webapp.runs.configure.values import changed_paths
from webapp.runs.models import Run, RunState
from webapp.runs.services import run_draft_save, run_submit
from webapp.runs.tests import factories as make
from webapp.runs.tests.form_data import data_of, posted

pytestmark = pytest.mark.django_db
MODELS = [(make.MODEL, make.MODEL)]


def test_every_field_of_the_schema_is_in_the_form_with_its_help():
    paths = {spec.path for spec in field_specs()}
    wanted = {
        f"{section}.{name}"
        for section, field in RunConfig.model_fields.items()
        if section not in ("parties", "schedule", "methods")
        for name in field.annotation.model_fields
    }
    wanted |= {"schedule"} | {f"schedule.{names_of(s)[0]}.{name}" for s in SCHEDULES for name in s.model_fields}
    wanted |= {
        f"wire.{way}.{names_of(codec)[0]}.{name}"
        for way in ("activations", "gradients")
        for codec in CHOICES
        for name in codec.model_fields
    }
    wanted |= {f"data.task.{names_of(task)[0]}.{name}" for task in TASKS for name in task.model_fields}
    for path, strategies in {"methods": METHODS, "privacy.defences": DEFENCES}.items():
        wanted |= {f"{path}.{s.model_fields['name'].default}.{name}" for s in strategies for name in s.model_fields}
        wanted |= {f"{path}.{s.model_fields['name'].default}" for s in strategies}
    assert paths == {path for path in wanted if not path.endswith(".name")} - {"privacy.defences", *AT_NO_SITE}
    assert all(spec.help and spec.label for spec in field_specs())


def test_fields_of_a_strategy_are_there_where_it_is_chosen_alone(client):
    w = make.world()
    client.force_login(w.engineer)
    response = client.post(
        reverse("runs:edit", args=[w.run.id]),
        posted(client, w, **{"schedule": "sequential", "schedule.sequential.turn_steps": "7"}),
    )
    assert response.status_code == 302
    assert w.fresh().config["schedule"] == {"name": "sequential", "turn_steps": 7}
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    drawn = re.findall(r'data-shown-for="([^"]+)"\s*(hidden)?', page)
    assert {names: hidden for names, hidden in drawn if names in ("sequential", "parallel")} == {
        "sequential": "",
        "parallel": "hidden",
    }


def test_methods_and_defences_are_switched_on_with_their_fields(client):
    w = make.world()
    client.force_login(w.engineer)
    chosen = {
        "privacy.defences.gaussian": "on",
        "privacy.defences.gaussian.noise": "0.5",
        "methods.auxiliary_loss": "on",
    }
    client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, **chosen))
    saved = w.fresh().config
    assert saved["privacy"] == {"defences": [{"name": "gaussian", "noise": 0.5}]}
    assert saved["methods"] == [{"name": "auxiliary_loss"}]
    form = ConfigForm(None, config=saved, models=MODELS)
    drawn = [item for item in form.drawn() if item.spec.listed and item.spec.within]
    shown = {member for item in drawn if not item.hidden for member in item.spec.members}
    assert shown == {"gaussian", "auxiliary_loss"}
    assert {member for item in drawn for member in item.spec.members} > shown
    assert set(changed_paths(saved)) >= {*chosen}
    client.post(reverse("runs:edit", args=[w.run.id]), {**posted(client, w), "privacy.defences.gaussian": ""})
    assert not w.fresh().config.get("privacy")


def test_a_draft_in_the_older_form_is_shown_and_saved_in_the_new_one(client):
    w = make.world()
    client.force_login(w.engineer)
    older = make.config(schedule={"mode": "sequential", "turn_steps": 3, "aggregate_every": 4})
    Run.objects.filter(pk=w.run.pk).update(config=older)
    form = ConfigForm(None, config=older, models=MODELS)
    assert (form["schedule"].value(), form["schedule.sequential.turn_steps"].value()) == ("sequential", "3")
    client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, **{"training.steps": "9"}))
    saved = w.fresh().config
    assert saved["schedule"] == {"name": "sequential", "turn_steps": 3}
    assert saved["training"]["steps"] == 9


@pytest.mark.parametrize(
    "config",
    [
        make.config(),
        make.config(
            split={"topology": "vanilla", "head_layers": 3, "tail_layers": 0},
            lora={"rank": 4, "target_modules": ["q_proj", "v_proj"]},
            training={"steps": None, "epochs": 1.5, "clip_norm": None, "learning_rate": 3e-5, "shuffle": False},
            data={"template": "chat", "loss_on": "all", "eval_fraction": 0.25},
        ),
    ],
)
def test_a_configuration_survives_the_form_unchanged(config):
    form = ConfigForm(data_of(config), config=config, models=MODELS)
    assert form.check() == RunConfig.parse(config)
    assert RunConfig.parse(form.typed()) == RunConfig.parse(config)


def test_a_wrong_value_stands_in_the_form_as_typed_with_a_sentence_beside_it():
    data = {**data_of(make.config()), "lora.rank": "eight", "training.batch_size": "3", "training.micro_batches": "2"}
    form = ConfigForm(data, config={}, models=MODELS)
    assert form.check() is None
    assert form.problems["lora.rank"] == "Enter a whole number."
    assert form["lora.rank"].value() == "eight"
    assert form.typed()["lora"]["rank"] == "eight"


def test_every_problem_is_listed_on_top_by_its_label_with_a_link_to_its_field(client):
    w = make.world()
    client.force_login(w.engineer)
    wrong = {"lora.rank": "eight", "training.batch_size": "0", "training.learning_rate": "fast"}
    response = client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, action="submit", **wrong))
    top = response.content.decode().partition("data-focus-first")[2].partition("</ul>")[0]
    assert response.status_code == 422
    assert "3 problems to correct" in top
    assert "Input should" not in response.content.decode()
    listed = dict(re.findall(r'href="#(f-[^"]+)"[^>]*>([^<]+)</a>', top))
    assert listed == {
        "f-lora-rank": "Rank: Enter a whole number.",
        "f-training-batch_size": "Batch size: This should be greater than or equal to 1.",
        "f-training-learning_rate": "Learning rate: Enter a number.",
    }


def test_prompts_with_line_breaks_and_backslashes_survive_the_form(client):
    w = make.world()
    client.force_login(w.engineer)
    prompts = ["Summarise:\nPatient A", "A path C:\\new, an end.", "Plain"]
    w.run.public_prompts = prompts
    w.run.save()
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    shown = html.unescape(page.partition('name="public_prompts"')[2].partition(">")[2].partition("</textarea>")[0])
    assert shown.splitlines()[0] == r"Summarise:\nPatient A"
    sent = shown.replace("\n", "\r\n")  # as browsers send a text area
    client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, public_prompts=sent))
    assert w.fresh().public_prompts == prompts


def test_pasted_yaml_is_answered_with_every_problem(client):
    w = make.world()
    client.force_login(w.engineer)
    text = "model: {name_or_path: acme/tiny}\nlora: {rank: eight}\ntraining: {batch_size: 0}"
    page = client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, action="yaml", yaml=text))
    error = page.content.decode().partition('id="yaml-text-error"')[2].partition("</p>")[0]
    assert "lora.rank: Enter a whole number." in error
    assert "training.batch_size: This should be" in error


@pytest.mark.parametrize(
    ("path", "text"),
    [("lora.target_modules", ", ".join(f"m{number}" for number in range(50_000)))],
)
def test_a_list_without_an_end_is_refused_at_once_and_stays_as_it_was_typed(client, path, text):
    w = make.world()
    client.force_login(w.engineer)
    page = reverse("runs:edit", args=[w.run.id])
    client.get(page)  # what is read once is read
    began = time.process_time()
    answer = client.post(page, posted(client, w, **{path: text}, action="submit"))
    assert time.process_time() - began < 2
    assert answer.status_code == 422
    assert "should have at most" in answer.content.decode()
    section, _, name = path.partition(".")
    spec = next(spec for spec in field_specs() if spec.path == path)
    assert to_text(spec, w.fresh().config[section][name]) == text


def test_modules_that_the_base_model_lacks_are_refused_while_typing_and_at_submission(client):
    w = make.world()
    client.force_login(w.engineer)
    data = posted(client, w, **{"lora.target_modules": "q_proj, foo"})
    preview = client.post(reverse("runs:preview"), data).content.decode()
    assert "Target modules: The base model has no foo. Its layers have q_proj" in preview
    data |= {"version": w.fresh().draft_version, "action": "submit"}
    page = client.post(reverse("runs:edit", args=[w.run.id]), data)
    assert (page.status_code, "CL-1105" in page.content.decode()) == (422, True)
    assert w.fresh().state == RunState.DRAFT
    w.run.config = make.config(lora={"target_modules": ["foo"]})
    w.run.save()
    with pytest.raises(AppError, match="CL-1105"):  # by the interface for machines too
        run_submit(actor=w.engineer, run=w.fresh())


def test_a_draft_that_exchanges_the_rows_roles_is_a_problem_until_the_form_saves_it_without(client):
    w = make.world()
    client.force_login(w.engineer)
    swapped = make.config(data={"columns": {"prompt": "completion", "completion": "prompt"}})
    Run.objects.filter(pk=w.run.pk).update(config=swapped)
    page = reverse("runs:edit", args=[w.run.id])
    assert "Leave data.columns empty." in client.get(page).content.decode()
    assert 'name="data.columns"' not in client.get(page).content.decode()
    client.post(page, posted(client, w))
    assert "columns" not in w.fresh().config.get("data", {})
    assert "Leave data.columns empty." not in client.get(page).content.decode()


def test_both_steps_and_epochs_is_a_problem_at_the_steps():
    form = ConfigForm({**data_of(make.config()), "training.epochs": "2"}, config={}, models=MODELS)
    assert form.check() is None
    assert "either steps or epochs" in form.problems["training.steps"]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_each_preset_is_valid_and_keeps_the_model(preset):
    config = preset_apply(make.config(training={"steps": 7}), preset.key, layers=12)
    parsed = RunConfig.parse(config)
    assert parsed.model.name_or_path == make.MODEL
    assert parsed.split.head_layers + parsed.split.tail_layers < 12
    assert bool(changed_paths(config)) is bool(preset.values)


def test_a_draft_is_saved_while_it_is_typed_even_when_it_is_not_valid(client):
    w = make.world()
    client.force_login(w.engineer)
    response = client.post(reverse("runs:preview"), posted(client, w, **{"lora.rank": "many"}))
    assert response.status_code == 200
    assert "Enter a whole number." in response.content.decode()
    assert w.fresh().config["lora"]["rank"] == "many"
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    assert 'value="many"' in page


def test_typing_in_a_new_form_creates_one_draft_and_names_its_address(client):
    w = make.world()
    client.force_login(w.engineer)
    before = Run.objects.count()
    response = client.post(reverse("runs:preview"), posted(client, w, run="", name="Typed"))
    run = Run.objects.exclude(pk=w.run.pk).get()
    assert (Run.objects.count(), run.name) == (before + 1, "Typed")
    assert response["HX-Replace-Url"] == reverse("runs:edit", args=[run.id])


def test_the_preview_does_not_touch_a_submitted_run(client):
    w = make.world()
    make.submit(w)
    client.force_login(w.engineer)
    client.post(reverse("runs:preview"), posted(client, w, **{"lora.rank": "32"}))
    assert (w.fresh().state, w.run.config["lora"]["rank"]) == (RunState.AWAITING, 8)


def test_what_was_typed_before_a_submission_and_arrives_after_it_does_not_take_it_back():
    w = make.world()
    typed_before = Run.objects.get(pk=w.run.pk)
    make.submit(w)
    run_draft_save(
        actor=w.engineer,
        project=w.project,
        organisation=w.run.organisation,
        name="Typed",
        config={},
        run=typed_before,
        while_typing=True,
    )
    assert (w.fresh().state, w.run.name == "Typed") == (RunState.AWAITING, False)
    assert w.run.contract_hash


def test_the_preview_shows_memory_traffic_and_who_sees_what(client):
    w = make.world()
    w.workers[2].facts = {"memory_bytes": 16_000_000_000}
    w.workers[2].save()
    client.force_login(w.engineer)
    text = client.post(reverse("runs:preview"), posted(client, w)).content.decode()
    for words in (
        "Fits",
        "16.0 GB",
        "per step",
        "Who sees what",
        "measured its speed yet",
        "Request approval",
        "ε of a row's hidden states: no bound, without noise of a known law.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("noise", "words"), [("1e-200", "greater than or equal to"), ("1e-12", "ε of a row's hidden states: no bound")]
)
def test_the_preview_bears_noise_that_is_next_to_none(client, noise, words):
    w = make.world()
    client.force_login(w.engineer)
    chosen = {"privacy.defences.gaussian": "on", "privacy.defences.gaussian.noise": noise}
    answer = client.post(reverse("runs:preview"), posted(client, w, **chosen))
    assert answer.status_code == 200
    assert words in answer.content.decode()


def test_a_model_that_a_chosen_worker_lacks_is_explained(client):
    w = make.world()
    w.workers[2].models.all().delete()
    client.force_login(w.engineer)
    text = client.post(reverse("runs:preview"), posted(client, w)).content.decode()
    assert f"Not registered on {w.workers[2].name}." in text


def test_a_form_without_any_base_model_names_the_field_and_the_command(client):
    w = make.world()
    WorkerModel.objects.all().delete()
    client.force_login(w.engineer)
    page = client.get(reverse("runs:new"), {"project": w.project.id}).content.decode()
    assert 'href="#f-model-name_or_path" data-goes-to>Base model: None of these workers has a base model yet' in page
    assert "cutlayer worker model add" in page
    assert "none is registered yet</option>" in page


def test_a_draft_without_a_base_model_asks_for_one_and_offers_no_model_of_the_name_none(client):
    w = make.world()
    Run.objects.filter(pk=w.run.pk).update(config={"model": {"name_or_path": None}})
    client.force_login(w.engineer)
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    assert "None (" not in page
    assert "choose a base model</option>" in page
    assert "Base model: This is required." in page


@pytest.mark.parametrize(
    ("state", "words"), [(WorkerState.QUARANTINED, "is in quarantine"), (WorkerState.REVOKED, "is revoked")]
)
def test_a_form_says_why_what_an_organisation_offers_cannot_be_chosen(client, state, words):
    w = make.world()
    worker = w.workers[0]
    Worker.objects.filter(pk=worker.pk).update(state=state)
    client.force_login(w.engineer)
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    assert f"{worker.name} {words}." in page
    assert "No dataset offered" not in page


def test_a_form_names_the_compute_worker_that_is_shut_out(client):
    w = make.world()
    Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.QUARANTINED)
    client.force_login(w.engineer)
    page = client.get(reverse("runs:edit", args=[w.run.id])).content.decode()
    assert f"No compute worker is available: {w.workers[2].name} is in quarantine." in page


def test_yaml_with_an_unknown_key_is_refused_with_a_suggestion_and_kept(client):
    w = make.world()
    client.force_login(w.engineer)
    text = "model:\n  name_or_path: acme/tiny\nlora:\n  rnak: 4\n"
    response = client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, action="yaml", yaml=text))
    assert response.status_code == 422
    page = response.content.decode()
    assert "Did you mean" in page
    assert "rnak: 4" in page
    assert w.fresh().config == make.config()


def test_yaml_is_taken_over_into_the_form(client):
    w = make.world()
    client.force_login(w.engineer)
    text = "model:\n  name_or_path: acme/tiny\nlora:\n  rank: 4\n"
    client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, action="yaml", yaml=text))
    assert w.fresh().config == {"model": {"name_or_path": make.MODEL}, "lora": {"rank": 4}}


def test_submitting_from_the_form_freezes_the_contract(client):
    w = make.world()
    client.force_login(w.engineer)
    response = client.post(reverse("runs:edit", args=[w.run.id]), posted(client, w, action="submit"))
    assert response.url == reverse("runs:approvals", args=[w.run.id])
    assert w.fresh().state == RunState.AWAITING


def test_a_submission_that_fails_brings_the_page_back_with_what_was_typed(client):
    w = make.world()
    client.force_login(w.engineer)
    data = posted(client, w, action="submit", **{"split.head_layers": "5", "note": "keep this"})
    response = client.post(reverse("runs:edit", args=[w.run.id]), data)
    assert response.status_code == 422
    page = response.content.decode()
    assert "CL-1002" in page
    assert "keep this" in page
    assert w.fresh().state == RunState.DRAFT


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        (
            {"schedule": {"name": "splitfed_v1", "aggregate_every": 0}},
            "schedule.splitfed_v1.aggregate_every",
            "greater than or equal to 1",
        ),
        (
            {"schedule": {"name": "parallel", "straggler": "pause", "group_clients": True}},
            "schedule.parallel.straggler",
            "without group_clients",
        ),
        (
            {"privacy": {"defences": [{"name": "gaussian", "clip": -1.0}]}},
            "privacy.defences.gaussian.clip",
            "greater than or equal to 0.000001",
        ),
        (
            {"wire": {"gradients": {"name": "int8", "rounding": "rotated"}}},
            "wire.gradients.int8.rounding",
            "'nearest' or 'stochastic'",
        ),
        ({"training": {"batch_size": 8, "micro_batches": 3}}, "training.batch_size", "equal micro_batches"),
        ({"training": {"cache_activations": True}}, "training.cache_activations", "untrained head"),
    ],
)
def test_what_does_not_go_together_is_refused_at_a_field(sections, path, words):
    form = ConfigForm(data_of(make.config(**sections)), config={}, models=MODELS)
    assert form.check() is None
    assert words in form.problems[path]
    problem = form.listed()[0]
    assert problem.element_id == "f-" + path.replace(".", "-")
    assert problem.text.startswith(form.fields[path].label)


def test_what_has_no_effect_is_said():
    config = RunConfig.parse(make.config(schedule={"deadline_factor": 5}, wire={"cache_mb": 7}))
    assert idle_warnings(config) == [
        "Deadline has no effect: the run waits for late organisations.",
        "Cache limit has no effect: no cache is in use.",
    ]
    assert idle_warnings(RunConfig.parse(make.config())) == []


def test_every_field_has_its_place_in_the_form_once():
    form = ConfigForm(None, config=make.config(), models=MODELS)
    drawn = [item.spec.path for item in form.drawn()]
    assert sorted(drawn) == sorted(spec.path for spec in field_specs())


def test_a_form_that_came_back_with_a_problem_goes_on_with_the_same_draft(client):
    w = make.world()
    client.force_login(w.engineer)
    before = Run.objects.count()
    url = f"{reverse('runs:new')}?project={w.project.id}"
    refused = client.post(url, posted(client, w, run="", action="submit", **{"split.head_layers": "5"}))
    assert refused.status_code == 422
    draft = Run.objects.exclude(pk=w.run.pk).get()
    assert f'value="{draft.id}"' in refused.content.decode()
    client.post(url, posted(client, w, run=draft.id, version=draft.draft_version, action="submit"))
    draft.refresh_from_db()
    assert (Run.objects.count(), draft.state) == (before + 1, RunState.AWAITING)


def test_the_form_says_whose_rows_are_longer_than_the_longest_row_and_how_many(client):
    w = make.world()
    histogram = {"edges": [0, 16, 17, 40], "counts": [80, 20, 10]}
    for version, tokenizer in zip(w.versions, (make.MODEL, "another/model"), strict=False):
        version.metadata |= {"token_lengths": histogram, "tokenizer": tokenizer}
        version.save()
    client.force_login(w.engineer)
    page = html.unescape(client.get(f"/runs/{w.run.id}/edit").content.decode())
    longest = RunConfig.parse(w.run.config).training.max_length
    assert longest == 16
    assert f"{w.organisations[0].name}: at least 10 of 110 rows" in page
    assert "longer than 16 tokens (Longest row)" in page
    assert f"{w.organisations[1].name}: at least" not in page, "another tokenizer's lengths say nothing"
