"""The first tables of `datasets`."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("datasets", "0001_initial"),
        ("fleet", "0001_initial"),
        ("orgs", "0001_initial"),
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="datasets", to="orgs.organisation"
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="projects",
            field=models.ManyToManyField(blank=True, related_name="datasets", to="projects.project"),
        ),
        migrations.AddField(
            model_name="dataset",
            name="worker",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="datasets", to="fleet.worker"
            ),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="dataset",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="datasets.dataset"
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.UniqueConstraint(fields=("worker", "name"), name="one_dataset_name"),
        ),
        migrations.AddConstraint(
            model_name="datasetversion",
            constraint=models.UniqueConstraint(fields=("dataset", "number"), name="one_version_number"),
        ),
    ]
