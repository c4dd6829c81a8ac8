# One image for the worker, beat, Flower, the console, the receiver of notifications and the sandbox.
# The command selects the part.
#
#   docker build --tag connect-worker .
#   docker build --tag connect-worker --build-arg PYTHON_IMAGE=python:3.12-slim .

# Dependabot does not update the default of an argument. It updates the same line in the Dockerfile of new projects
# (connect_worker/cli/template), and a test compares the two.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE:-python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b}

# The build compiles the bytecode (below), because the file system may be read-only at run time.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    HOME=/tmp

# A fixed user id: volume owners and Kubernetes' runAsNonRoot need the number.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin connect

WORKDIR /app

# Docker repeats this step only when the locked packages change. Wheels only: the slim image has no compiler.
# Only the sandbox needs what sandbox.txt adds: the vendor's RQL parser, three small wheels. `connect-worker new`
# copies testing.txt.
COPY requirements/worker.txt requirements/sandbox.txt requirements/testing.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --require-hashes --only-binary=:all: -r requirements/worker.txt -r requirements/sandbox.txt

# Files that change least come first. Root owns all of them: the worker can't change its own code.
COPY celeryconfig.py ./
COPY examples examples
COPY tasks tasks
COPY connect_worker connect_worker
RUN python -m compileall -q celeryconfig.py examples tasks connect_worker

USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "tasks", "worker", "--loglevel", "info"]
