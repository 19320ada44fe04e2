# The gateway alone: a user of its own, no shell scripts; a read-only root file system is enough.
# Mail above spool_above is written to /tmp, so mount something there that is large enough.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# The dependencies are a layer of their own: they change seldom. The lock file says which versions.
COPY requirements.lock pyproject.toml ./
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > runtime.txt \
    && python3 -m venv --without-pip /opt/gateway \
    && python3 -m pip --python /opt/gateway install --no-cache-dir --disable-pip-version-check \
        --constraint requirements.lock --requirement runtime.txt
COPY README.md LICENSE ./
COPY gateway gateway
RUN python3 -m pip --python /opt/gateway install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="milter-gateway" \
      org.opencontainers.image.description="Write a Postfix or Sendmail milter as a plain HTTP service" \
      org.opencontainers.image.licenses="Apache-2.0"
# Both directories are there for volumes: a new volume takes over owner and mode of what it covers.
RUN groupadd --gid 10025 milter \
    && useradd --uid 10025 --gid milter --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin milter \
    && install -d -o milter -g milter -m 755 /run/milter-gateway \
    && install -d -o milter -g milter -m 700 /var/lib/milter-gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH
USER 10025:10025
EXPOSE 20025 8025
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/opt/gateway/bin/python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8025/readyz', timeout=4)"]
ENTRYPOINT ["/opt/gateway/bin/milter-gateway"]
CMD ["run", "-c", "/etc/milter-gateway/gateway.toml"]
