# One image for the hub and for workers. The steps are the ones that make runs on any machine.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends make redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home cutlayer \
    && mkdir -p /srv/cutlayer /var/lib/cutlayer \
    && chown cutlayer /srv/cutlayer /var/lib/cutlayer

USER cutlayer
WORKDIR /srv/cutlayer
COPY --chown=cutlayer . .
RUN make setup
ENV PATH="/srv/cutlayer/.venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    CUTLAYER_VAR_DIR=/var/lib/cutlayer/hub \
    CUTLAYER_WORKER_HOME=/var/lib/cutlayer/worker \
    CUTLAYER_STATIC_ROOT=/srv/cutlayer/staticfiles
RUN DJANGO_SETTINGS_MODULE=webapp.settings.production python manage.py collectstatic --noinput
VOLUME /var/lib/cutlayer
