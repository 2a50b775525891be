"""The first tables of `runs`."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("datasets", "0001_initial"),
        ("fleet", "0001_initial"),
        ("orgs", "0001_initial"),
        ("projects", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=120)),
                ("note", models.TextField(blank=True, max_length=4000)),
                ("config", models.JSONField(default=dict)),
                ("public_prompts", models.JSONField(default=list)),
                ("start_when_approved", models.BooleanField(default=True)),
                ("contract", models.TextField(blank=True)),
                ("contract_hash", models.CharField(blank=True, max_length=64)),
                ("approved_contract", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("awaiting_approval", "Awaiting approval"),
                            ("declined", "Declined"),
                            ("approved", "Approved"),
                            ("starting", "Starting"),
                            ("training", "Training"),
                            ("paused", "Paused"),
                            ("finishing", "Finishing"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("stopping", "Stopping"),
                            ("stopped", "Stopped"),
                        ],
                        default="draft",
                        max_length=20,
                    ),
                ),
                ("state_since", models.DateTimeField(auto_now_add=True)),
                (
                    "desired",
                    models.CharField(
                        choices=[
                            ("none", "Not started"),
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("stopped", "Stopped"),
                        ],
                        default="none",
                        max_length=10,
                    ),
                ),
                ("step", models.PositiveIntegerField(default=0)),
                ("total_steps", models.PositiveIntegerField(default=0)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("training_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("record_count", models.BigIntegerField(default=0)),
                ("failure", models.JSONField(blank=True, null=True)),
                ("summary", models.JSONField(default=dict)),
                ("is_archived", models.BooleanField(default=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="orgs.organisation"
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="clones",
                        to="runs.run",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="projects.project"
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="Participant",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("client", "Client half"),
                            ("server", "Server half"),
                            ("evaluator", "Evaluation only"),
                        ],
                        max_length=10,
                    ),
                ),
                ("party", models.SlugField(max_length=60)),
                ("receives_adapter", models.BooleanField(default=True)),
                ("attempt", models.PositiveIntegerField(default=0)),
                ("phase", models.CharField(default="waiting", max_length=20)),
                ("phase_since", models.DateTimeField(auto_now_add=True)),
                ("step", models.PositiveIntegerField(default=0)),
                ("address", models.CharField(blank=True, max_length=120)),
                ("last_beat_at", models.DateTimeField(blank=True, null=True)),
                ("last_seq", models.BigIntegerField(default=0)),
                ("policy_verdict", models.JSONField(blank=True, null=True)),
                ("outcome", models.CharField(blank=True, max_length=10)),
                ("error", models.JSONField(blank=True, null=True)),
                ("stop_confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("metrics", models.JSONField(default=dict)),
                (
                    "dataset_version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="participations",
                        to="datasets.datasetversion",
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="orgs.organisation"
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="participations", to="fleet.worker"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="participants", to="runs.run"
                    ),
                ),
            ],
            options={
                "ordering": ["role", "party"],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "party"), name="one_party_name"),
                    models.UniqueConstraint(fields=("run", "worker", "role"), name="one_part_a_worker"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("contract_hash", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved"),
                            ("declined", "Declined"),
                            ("voided", "Voided by a change"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("reason", models.TextField(blank=True, max_length=2000)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="approvals", to="orgs.organisation"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="approvals", to="runs.run"
                    ),
                ),
            ],
            options={
                "ordering": ["created_at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "organisation", "contract_hash"), name="one_approval_a_contract"
                    )
                ],
            },
        ),
    ]
