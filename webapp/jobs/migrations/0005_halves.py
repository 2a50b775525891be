from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_jobs_of_before")]

    operations = [
        migrations.AddField(model_name="job", name="wanted_attempt", field=models.PositiveIntegerField(default=1)),
        migrations.AddField(model_name="job", name="ended_at", field=models.DateTimeField(blank=True, null=True)),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "train")), fields=("participant",), name="one_half_of_a_part"
            ),
        ),
    ]
