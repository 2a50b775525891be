"""The first tables of `audit`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("sequence", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("actor_kind", models.CharField(max_length=12)),
                ("actor_id", models.CharField(blank=True, max_length=32)),
                ("actor_label", models.CharField(blank=True, max_length=200)),
                ("organisation_id", models.CharField(blank=True, db_index=True, max_length=32)),
                ("project_id", models.CharField(blank=True, db_index=True, max_length=32)),
                ("action", models.CharField(max_length=60)),
                ("object_id", models.CharField(blank=True, db_index=True, max_length=64)),
                ("details", models.JSONField(default=dict)),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64, unique=True)),
            ],
            options={
                "ordering": ["sequence"],
            },
        ),
    ]
