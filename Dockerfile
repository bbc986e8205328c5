# One image for every process: `penstock train`, `penstock serve`, `penstock topics create`, …
#
#   docker build --tag penstock .
#   docker run --volume ./penstock.toml:/etc/penstock/penstock.toml:ro penstock train --config /etc/penstock/penstock.toml
#
# The default torch brings its CUDA libraries along (4 GB). Where no GPU is used, let pip find PyTorch's CPU wheels:
#
#   docker build --build-arg PIP_EXTRA_INDEX_URL=<index of PyTorch's CPU wheels> --tag penstock .
#
# A package mirror that asks for a password: --secret id=pip.conf,src=pip.conf (it enters no layer).

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir hatchling==1.28.0

# What the package depends on, at the pinned versions; the pins of test tools constrain nothing that is installed.
COPY pyproject.toml requirements.txt ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > dependencies.txt \
    && python3 -m venv /opt/penstock \
    && /opt/penstock/bin/pip install --no-cache-dir --requirement dependencies.txt --constraint requirements.txt

COPY README.md ./
COPY services services
RUN /opt/build/bin/hatchling build --target wheel --directory dist \
    && /opt/penstock/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
    && /opt/penstock/bin/pip check \
    && /opt/penstock/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="penstock" \
      org.opencontainers.image.description="Keeps a PyTorch model learning from a Kafka topic and every replica on the newest good weights."

# The chart names the same ids (podSecurityContext).
RUN groupadd --gid 10001 penstock \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/penstock --shell /usr/sbin/nologin penstock \
    && install --directory --owner=10001 --group=10001 /var/lib/penstock
COPY --from=build /opt/penstock /opt/penstock

# Only /var/lib/penstock (state) and /tmp (HOME, for caches of libraries) are written, so the root can be read-only.
# Inside a container the loopback interface reaches nobody.
ENV PATH=/opt/penstock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PENSTOCK_SERVING__HOST=0.0.0.0 \
    PENSTOCK_TELEMETRY__HOST=0.0.0.0
WORKDIR /var/lib/penstock
VOLUME /var/lib/penstock
USER 10001:10001
EXPOSE 8080 8081 9108
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["--help"]
