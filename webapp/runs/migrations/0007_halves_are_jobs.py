from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0006_phase_before_drop"), ("jobs", "0006_halves_of_before")]

    operations = [
        migrations.RemoveField(model_name="participant", name="outcome"),
        migrations.RemoveField(model_name="participant", name="stop_confirmed_at"),
        migrations.RemoveField(model_name="participant", name="wanted_attempt"),
    ]
