"""The first tables of `adapters`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Adapter",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("party", models.SlugField(blank=True, max_length=60)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("collecting", "Collecting segments"),
                            ("joined", "Joined, not yet verified"),
                            ("ready", "Verified"),
                            ("failed", "Failed its checks"),
                        ],
                        default="collecting",
                        max_length=12,
                    ),
                ),
                ("folder", models.CharField(blank=True, max_length=400)),
                ("archive", models.CharField(blank=True, max_length=400)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("bytes", models.BigIntegerField(default=0)),
                ("checks", models.JSONField(default=list)),
                ("evaluation", models.JSONField(default=dict)),
                ("reports", models.JSONField(default=dict)),
                ("provenance", models.JSONField(default=dict)),
                ("verified_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Segment",
            fields=[
                ("id", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("attempt", models.PositiveIntegerField()),
                ("name", models.CharField(max_length=20)),
                ("path", models.CharField(max_length=400)),
                ("sha256", models.CharField(max_length=64)),
                ("bytes", models.BigIntegerField()),
            ],
        ),
    ]
