# syntax=docker/dockerfile:1
# The service, the exporter and the Docker proxy in one image: no compiler, no package manager's leavings, not root.

FROM python:3.11.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/remediator
COPY pyproject.toml README.md LICENSE ./
COPY remediator ./remediator
RUN /opt/remediator/bin/pip install --no-cache-dir --disable-pip-version-check . \
    && find /opt/remediator -name __pycache__ -prune -exec rm -rf {} +

FROM python:3.11.11-slim-bookworm
# The number stands in compose/prepare, too: secrets belong to the user of the one container that reads them.
RUN groupadd --gid 10001 remediator \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin remediator \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/remediator \
    && install -d -o 10001 -g 10001 -m 0700 /run/docker-proxy
COPY --from=build /opt/remediator /opt/remediator
ENV PATH=/opt/remediator/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/remediator
VOLUME /var/lib/remediator
EXPOSE 9097 9925
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9097/-/ready', timeout=4)"]
ENTRYPOINT ["remediator"]
CMD ["serve", "--config.file", "/etc/remediator/remediator.yml"]
