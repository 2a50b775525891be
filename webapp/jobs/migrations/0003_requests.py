from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_attempts_of_before"), ("runs", "0006_phase_before_drop")]

    operations = [
        migrations.AlterModelOptions(name="job", options={"ordering": ["created_at", "id"]}),
        migrations.RemoveConstraint(model_name="job", name="one_job_of_a_kind"),
        migrations.AddField(model_name="job", name="outcome", field=models.CharField(blank=True, max_length=10)),
        migrations.AddField(model_name="job", name="result", field=models.JSONField(blank=True, null=True)),
        migrations.AddField(model_name="job", name="spec", field=models.JSONField(default=dict)),
        migrations.AddField(model_name="job", name="subject", field=models.CharField(blank=True, max_length=32)),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(fields=("participant", "kind", "subject"), name="one_job_of_a_subject"),
        ),
    ]
