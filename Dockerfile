# Three images from one file; docker-compose.yml builds and runs them.
#   services      both services: the command picks (docker-compose.yml has it)
#   migrations    the same with sql/ and dbmate: migrates and seeds
#   orchestrator  the Lambda function under serverless offline
# None of them has tests, a compiler or a setting in it. All run as a user without rights,
# on a root file system that may be read-only.

# The runtime of serverless.yml, too.
FROM python:3.13.18-slim-trixie AS python
ENV VIRTUAL_ENV=/app/.venv \
    PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app

# --- what is built ----------------------------------------------------------------------

FROM python AS python-packages
# gunicorn's C parser comes as source. The compiler stays in this stage, so its version matters to nothing.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && \
    rm -rf /var/lib/apt/lists/*
COPY requirements.txt ./
# No pip in it. The driver's plugins for Kerberos, LDAP and the like are 28 MB that nothing here loads.
RUN python -m venv --without-pip .venv && \
    pip --python .venv/bin/python install --no-cache-dir --disable-pip-version-check -r requirements.txt && \
    rm -r .venv/lib/python3.13/site-packages/mysql/vendor/plugin .venv/lib/python3.13/site-packages/mysql/vendor/private

FROM python-packages AS contracts
COPY common/ common/
COPY openapi/*.yaml openapi/
RUN for name in customers orders orchestrator; do \
      python -m common.contract "openapi/$name.yaml" > "openapi/$name.json" && rm "openapi/$name.yaml" || exit 1; \
    done && rm openapi/common.yaml && python -m compileall -q common

FROM python AS node-packages
COPY dev/install-node dev/
COPY package.json package-lock.json .npmrc ./
# dev/install-node takes Node from PyPI, and make does the same.
RUN python -m venv .venv && dev/install-node && \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund && cp -L .venv/bin/node /usr/local/bin/node

# --- what runs --------------------------------------------------------------------------

FROM python AS program
COPY --from=python-packages /app/.venv .venv/
COPY --from=contracts /app/common common/
USER 10001:10001

FROM program AS orchestrator
# The framework keeps a file of its own in the home folder.
ENV HOME=/tmp \
    SLS_TELEMETRY_DISABLED=1 \
    SLS_NOTIFICATIONS_MODE=off
COPY --from=node-packages /usr/local/bin/node /usr/local/bin/
COPY --from=node-packages /app/node_modules node_modules/
COPY --from=contracts /app/openapi/orchestrator.json openapi/
COPY lambda_orchestrator/ lambda_orchestrator/
COPY aws/services-elsewhere.yml aws/
COPY package.json serverless.yml ./
# In a container 127.0.0.1 is reached by nobody else.
CMD ["node_modules/.bin/serverless", "offline", "--host", "0.0.0.0"]

FROM program AS services-and-contracts
COPY --from=contracts /app/openapi/customers.json /app/openapi/orders.json openapi/
COPY customers/ customers/
COPY orders/ orders/

FROM services-and-contracts AS migrations
COPY --from=node-packages /app/node_modules/@dbmate node_modules/@dbmate/
COPY sql/*.py sql/seed.sql sql/
COPY sql/migrations/ sql/migrations/
CMD ["python", "-m", "sql.migrate"]

# The last, so that `docker build .` makes it.
FROM services-and-contracts AS services
COPY --from=node-packages /app/node_modules/swagger-ui-dist/LICENSE \
     /app/node_modules/swagger-ui-dist/NOTICE \
     /app/node_modules/swagger-ui-dist/swagger-ui-bundle.js \
     /app/node_modules/swagger-ui-dist/swagger-ui.css common/docs/swagger-ui/
EXPOSE 3001 3002
