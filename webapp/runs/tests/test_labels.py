"""Runs whose task is to tell labels: which datasets fit, what the form offers, what the page and the card say."""

from __future__ import annotations

import ast
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from splitcore.errors import AppError
from webapp.adapters.card import model_card, snippet
from webapp.adapters.models import Adapter
from webapp.runs.configure.values import labels_of
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.tests import factories as make
from webapp.runs.tests.form_data import posted
from webapp.telemetry.series import series_of
from webapp.telemetry.tests.batches import batch, record

pytestmark = pytest.mark.django_db
TASK = {"name": "sequence", "labels": ["cold", "hot"]}


def labelled_world(task=TASK, labels=(("cold", "hot"), ("hot", "cold"))):
    """A draft of two data organisations whose datasets have these labels."""
    w = make.world(run_config=make.config(data={"task": task}, privacy={"sums": "plain"}))
    for version, own in zip(w.versions, labels, strict=False):
        version.metadata = {**version.metadata, "format": "labelled", "labels": list(own)}
        version.save()
    return w


def test_a_contract_lists_the_labels_and_has_a_version_that_older_workers_refuse():
    w = labelled_world()
    make.submit(w)
    run = w.fresh()
    assert '"labels":["cold","hot"]' in run.contract
    assert '"contract_version":3' in run.contract
    assert labels_of(run.config) == ["cold", "hot"]


def test_a_dataset_with_other_labels_is_refused_by_name():
    w = labelled_world(labels=(("cold", "hot"), ("hot", "mild")))
    with pytest.raises(AppError, match="CL-1246") as caught:
        make.submit(w)
    assert "mild" in caught.value.message
    assert w.versions[1].dataset.name in caught.value.message


def test_a_site_that_keeps_its_labels_names_to_itself_can_take_part():
    w = labelled_world(labels=(("cold", "hot"), ()))
    make.submit(w)
    assert w.fresh().contract_hash


def test_datasets_without_labels_are_refused_for_the_task():
    w = make.world(run_config=make.config(data={"task": TASK}))
    with pytest.raises(AppError, match="CL-1246"):
        make.submit(w)


def test_labelled_rows_may_be_trained_on_as_plain_text():
    w = labelled_world(task="text")
    make.submit(w)
    assert labels_of(w.fresh().config) == []


def test_the_form_offers_the_labels_of_the_chosen_datasets_where_none_are_named(client):
    w = labelled_world(task="text")
    client.force_login(w.engineer)
    data = posted(client, w, **{"data.task": "sequence", "data.task.sequence.labels": ""})
    page = client.post(reverse("runs:preview"), data).content.decode()
    assert "Name at least two labels." in page
    assert 'data-fills="f-data-task-sequence-labels"' in page
    assert "cold, hot" in page
    mended = {**data, "data.task.sequence.labels": "cold, hot"}
    page = client.post(reverse("runs:preview"), mended).content.decode()
    assert "Name at least two labels." not in page
    assert w.fresh().config["data"]["task"] == TASK


def test_the_form_names_a_dataset_that_does_not_fit_the_labels(client):
    w = labelled_world(labels=(("cold", "hot"), ("mild",)))
    client.force_login(w.engineer)
    page = client.post(reverse("runs:preview"), posted(client, w)).content.decode()
    assert page.count("CL-1246") == 2
    assert f'id="data-{w.organisations[1].id}-error"' in page


def evaluated(w):
    """A started run of which both parties have measured their labels, at the start and at the end."""
    make.submit(w)
    make.approve(w)
    for place in range(3):
        make.claim(w, place)
    for place, first, last, rows in ((0, 0.5, 0.75, 20), (1, 0.25, 1.0, 60)):
        shares = [(0, first), (4, last)]
        told = [
            record(
                seq, "eval", loss=1.0 - share, tokens=rows, rows=rows, accuracy=share, macro_f1=share / 2
            ).model_copy(update={"step": step})
            for seq, (step, share) in enumerate(shares, start=1)
        ]
        part = w.part(place)
        records_store(participant=part, batch=batch(part, *told))
    return w.fresh()


def test_accuracy_and_macro_f1_are_the_parties_means_weighted_by_rows_and_stand_on_the_page(client):
    w = labelled_world()
    run = evaluated(w)
    assert (run.summary["accuracy_before"], run.summary["accuracy_after"]) == (0.3125, 0.9375)
    assert run.summary["macro_f1_after"] == 0.46875
    curves = series_of(run)
    assert [point[1] for point in curves[w.part(1).party]["accuracy"]] == [0.25, 1.0]
    client.force_login(w.engineer)
    page = client.get(reverse("runs:detail", args=[run.id])).content.decode()
    assert "Accuracy, held-out rows" in page
    assert 'id="accuracy-chart"' in page
    assert 'id="macro_f1-chart"' in page


def test_a_run_that_goes_on_with_texts_has_no_chart_of_labels(client):
    w = make.started()
    client.force_login(w.engineer)
    page = client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    assert "accuracy-chart" not in page
    assert "Accuracy, held-out rows" not in page


def told(w, place, *entries):
    """What a party reports of evaluations: (rows, accuracy) of each."""
    make.submit(w)
    make.approve(w)
    for worker in range(3):
        make.claim(w, worker)
    part = w.part(place)
    records = [
        record(seq, "eval", loss=1.0, tokens=rows, rows=rows, accuracy=share, macro_f1=share)
        for seq, (rows, share) in enumerate(entries, start=1)
    ]
    records_store(participant=part, batch=batch(part, *records))
    return w.fresh()


@pytest.mark.parametrize(("task", "rows"), [("text", 20), (TASK, 7)])
def test_scores_of_a_run_without_labels_or_of_few_rows_are_neither_stored_nor_shown(task, rows):
    w = labelled_world(task=task)
    run = told(w, 0, (rows, 0.5), (rows, 1.0))
    assert "accuracy_after" not in run.summary
    assert [one.payload["accuracy"] for one in run.records.filter(kind="eval")] == [None, None]
    assert "accuracy" not in series_of(run)[w.part(0).party]
    assert "accuracy" not in run.summary["evals"][w.part(0).party]["last"]


def test_scores_of_an_earlier_evaluation_do_not_stand_beside_a_later_loss():
    run = told(labelled_world(), 0, (20, 0.5), (20, 0.75), (20, None))
    assert (run.summary["accuracy_before"], run.summary["loss_after"]) == (0.5, 1.0)
    assert not {"accuracy_after", "macro_f1_after"} & run.summary.keys()


@pytest.mark.parametrize("name", ["<b>hot</b>", "[hot](https://example.com)", "*hot*", "`hot`", "a``<i>b"])
def test_no_markup_comes_of_a_label_in_the_card(name):
    w = labelled_world(task={"name": "sequence", "labels": ["cold", name]}, labels=(("cold", name), ("cold", name)))
    make.submit(w)
    adapter = Adapter(run=w.fresh(), state="ready")
    adapter.created_at = timezone.now()
    [line] = [line for line in model_card(adapter).splitlines() if "It tells the label" in line]
    fence = "`" * (1 + max([len(run) for run in re.findall("`+", name)], default=0))
    space = " " if "`" in name else ""
    assert f"1: {fence}{space}{name}{space}{fence}." in line


MEASURED = {"rows": 20, "tokens": 20, "base_loss": 0.7, "base_exact_match": 0.5, "loss": 0.1, "exact_match": 0.95}


def test_the_card_names_the_labels_their_scores_and_how_to_use_the_classifier():
    w = labelled_world()
    make.submit(w)
    adapter = Adapter(run=w.fresh(), state="ready")
    adapter.created_at = timezone.now()
    adapter.evaluation = {
        w.part(0).party: {**MEASURED, "base_macro_f1": 0.25, "macro_f1": 0.875},
        w.part(1).party: MEASURED,
    }
    card = model_card(adapter)
    assert "Labels: 0: `cold`, 1: `hot`." in card
    assert "pipeline_tag: text-classification" in card
    assert "0.500 | 0.950 | 0.250 | 0.875 |" in card
    assert "not reported | not reported |" in card
    code = snippet(adapter)
    ast.parse(code)
    assert "AutoModelForSequenceClassification" in code
    assert 'labels = ["cold", "hot"]' in code
