# The image for all of Nightread's services; docker-compose.yml says which command each one runs.
#
#   docker build --tag nightread:0.1.0 .
#   docker build --tag nightread:0.1.0-gpu --build-arg EXTRAS="[gpu]" .
#
# It has not been built, because there is no Docker engine where Nightread is developed. Two things have been checked:
# pip finds a wheel for everything in constraints.txt for Python 3.12, and python:3.12-slim has all libraries that
# those wheels load (C, C++ and zlib; the OpenCV wheel is the headless one and needs no GL).

FROM python:3.12-slim AS build
# "[gpu]" adds NVIDIA's libraries, several gigabytes; the driver comes from the host.
ARG EXTRAS=""
RUN python -m venv /opt/nightread
ENV PATH=/opt/nightread/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY nightread.py nightread.py
COPY config config
COPY db db
# A link in db/ leads to it: `nightread views` prints it.
COPY docs/sql.md docs/sql.md
COPY jobs jobs
COPY workers workers
# Wheels only: nothing is compiled, so the image needs no compiler. The cache is for the next build.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --only-binary=:all: --constraint constraints.txt ".${EXTRAS}"

FROM python:3.12-slim
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Nightread" \
      org.opencontainers.image.description="Scores archives of chest radiographs overnight. Not for clinical use." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# The number is fixed, so that volumes and shared folders keep their owner from one version to the next. A new
# volume takes its owner from the folder that the image has at that path.
RUN groupadd --system --gid 10001 nightread \
    && useradd --system --uid 10001 --gid nightread --home-dir /var/lib/nightread --no-create-home \
        --shell /usr/sbin/nologin nightread \
    && install --directory --owner nightread --group nightread /var/lib/nightread /cache /heatmaps /models \
    && install --directory /images /manifests /certificates
COPY --from=build /opt/nightread /opt/nightread
# HOME is where libraries cache files: the rest of a container may be read-only.
ENV PATH=/opt/nightread/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NIGHTREAD_HOME=/var/lib/nightread
WORKDIR /var/lib/nightread
USER 10001:10001
# What "healthy" means depends on the service: see docker-compose.yml.
ENTRYPOINT ["nightread"]
CMD ["--help"]
