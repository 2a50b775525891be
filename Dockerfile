# One image for the hub and for workers. The steps are the ones that make runs on any machine.
# A tag can be moved. For a build that can be repeated, name the digest that you checked:
# docker build --build-arg BASE=python:3.11-slim-bookworm@sha256:… .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends make redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home cutlayer \
    && mkdir -p /srv/cutlayer /var/lib/cutlayer \
    && chown cutlayer /srv/cutlayer /var/lib/cutlayer

USER cutlayer
WORKDIR /srv/cutlayer
COPY --chown=cutlayer . .
# Every package by its hash, without the tools of tests and gate.
RUN make setup LOCK=requirements/base-lock.txt NPM_ARGS=--omit=dev
ENV PATH="/srv/cutlayer/.venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    CUTLAYER_VAR_DIR=/var/lib/cutlayer/hub \
    CUTLAYER_WORKER_HOME=/var/lib/cutlayer/worker \
    CUTLAYER_STATIC_ROOT=/srv/cutlayer/staticfiles
RUN DJANGO_SETTINGS_MODULE=webapp.settings.production python manage.py collectstatic --noinput
VOLUME /var/lib/cutlayer
