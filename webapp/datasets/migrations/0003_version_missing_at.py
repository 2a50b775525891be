"""Since when a worker no longer holds the rows of a version."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0002_initial")]

    operations = [
        migrations.AddField(
            model_name="datasetversion", name="missing_at", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
