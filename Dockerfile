# The gateway alone: no shell scripts, no root, a read-only root file system is enough (mail above spool_above needs /tmp).
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python3 -m venv /opt/gateway \
    && /opt/gateway/bin/pip install --no-cache-dir --constraint requirements.lock .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/gateway /opt/gateway
USER 65534:65534
EXPOSE 20025 8025
HEALTHCHECK --interval=10s --timeout=3s CMD ["/opt/gateway/bin/python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8025/readyz', timeout=2)"]
ENTRYPOINT ["/opt/gateway/bin/milter-gateway"]
CMD ["run", "-c", "/etc/milter-gateway/gateway.toml"]
