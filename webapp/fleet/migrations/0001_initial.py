"""The first tables of `fleet`."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SpentNonce",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("worker_id", models.CharField(max_length=32)),
                ("nonce", models.CharField(max_length=64)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=60)),
                (
                    "kind",
                    models.CharField(
                        choices=[("data", "Data"), ("compute", "Compute"), ("both", "Data and compute")], max_length=8
                    ),
                ),
                ("labels", models.JSONField(default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Waiting for confirmation"),
                            ("active", "Active"),
                            ("quarantined", "Quarantined"),
                            ("revoked", "Revoked"),
                            ("left", "Left"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("certificate_pem", models.TextField()),
                ("fingerprint", models.CharField(max_length=64, unique=True)),
                ("version", models.CharField(blank=True, max_length=40)),
                ("console_url", models.URLField(blank=True)),
                ("facts", models.JSONField(default=dict)),
                ("checks", models.JSONField(default=list)),
                ("policy", models.JSONField(default=dict)),
                ("lanes", models.JSONField(default=list)),
                ("last_beat_at", models.DateTimeField(blank=True, null=True)),
                ("connected_at", models.DateTimeField(blank=True, null=True)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="WorkerModel",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("model_id", models.CharField(max_length=400)),
                ("revision", models.CharField(blank=True, max_length=100)),
                ("manifest_hash", models.CharField(max_length=64)),
                ("config", models.JSONField(default=dict)),
                ("parameters", models.BigIntegerField(default=0)),
                ("bytes", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="EnrolmentToken",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                ("worker_name", models.CharField(max_length=60)),
                (
                    "kind",
                    models.CharField(
                        choices=[("data", "Data"), ("compute", "Compute"), ("both", "Data and compute")], max_length=8
                    ),
                ),
                ("labels", models.JSONField(default=list)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
    ]
