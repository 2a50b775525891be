"""The first tables of `telemetry`."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("runs", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Record",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.BigIntegerField()),
                ("worker_seq", models.BigIntegerField(blank=True, null=True)),
                ("kind", models.CharField(max_length=12)),
                ("step", models.PositiveIntegerField(blank=True, null=True)),
                ("payload", models.JSONField(default=dict)),
                ("at", models.DateTimeField()),
                ("received_at", models.DateTimeField(auto_now_add=True)),
                (
                    "participant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="records",
                        to="runs.participant",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="records", to="runs.run"
                    ),
                ),
            ],
            options={
                "ordering": ["run_id", "seq"],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "seq"), name="one_record_a_seq"),
                    models.UniqueConstraint(fields=("participant", "worker_seq"), name="one_record_a_worker_seq"),
                ],
            },
        ),
    ]
