# syntax=docker/dockerfile:1
# One server for a team, over HTTP: docs/http.md. What builds it stays in the first stage.
FROM python:3.11-slim AS built

# Providers' SDKs, traces, the embedded model: the extras of pyproject.toml.
ARG EXTRAS=anthropic,openai,google
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY server server
COPY tools tools
RUN python -m venv /opt/swarmtally \
    && /opt/swarmtally/bin/pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]" \
    && /opt/swarmtally/bin/pip uninstall --yes --disable-pip-version-check setuptools pip

FROM python:3.11-slim

COPY --from=built /opt/swarmtally /opt/swarmtally
# A number, so that Kubernetes sees that it is not root.
RUN mkdir --mode=0700 /data && chown 10001:10001 /data
ENV PATH=/opt/swarmtally/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    XDG_DATA_HOME=/data \
    SWARMTALLY_ALLOW=/data \
    SWARMTALLY_TRANSPORT=http \
    SWARMTALLY_HOST=0.0.0.0 \
    SWARMTALLY_PORT=8765
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8765
# Off loopback it does not start without SWARMTALLY_TOKEN.
ENTRYPOINT ["swarmtally", "serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:%s/healthz' % os.environ['SWARMTALLY_PORT'], timeout=4)"]
