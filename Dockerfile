# Four images from one file; docker-compose.yml builds and runs them.
#   services      both services: the command picks (docker-compose.yml has it)
#   migrations    the same with sql/ and dbmate: migrates and seeds
#   orchestrator  the Lambda function under serverless offline
#   nginx         stands before all three
# None of them has tests, a compiler or a setting in it. All run as a user without rights,
# on a root file system that may be read-only. --chmod, since a checkout may let nobody else read it.

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
COPY --chmod=644 requirements.txt ./
# No pip in it. The driver's plugins for Kerberos, LDAP and the like are 28 MB that nothing here loads.
RUN python -m venv --without-pip .venv && \
    pip --python .venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt && \
    rm -r .venv/lib/python3.13/site-packages/mysql/vendor/plugin .venv/lib/python3.13/site-packages/mysql/vendor/private

FROM python-packages AS contracts
COPY --chmod=755 common/ common/
COPY --chmod=644 openapi/*.yaml openapi/
RUN for name in customers orders orchestrator; do \
      python -m common.contract "openapi/$name.yaml" > "openapi/$name.json" && rm "openapi/$name.yaml" || exit 1; \
    done && rm openapi/common.yaml && python -m compileall -q common

FROM python AS node-packages
COPY --chmod=755 dev/install dev/
COPY --chmod=644 dev/requirements-node.txt dev/
COPY --chmod=644 package.json package-lock.json .npmrc ./
# dev/install node takes Node from PyPI, and make does the same.
RUN python -m venv .venv && dev/install node && \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund && cp -L .venv/bin/node /usr/local/bin/node

# --- what runs --------------------------------------------------------------------------

# What changes least comes first: 266 MB of Node are not made anew for a change of ours.
FROM python AS orchestrator
# The framework keeps a file of its own in the home folder.
ENV HOME=/tmp \
    SLS_TELEMETRY_DISABLED=1 \
    SLS_NOTIFICATIONS_MODE=off
COPY --from=node-packages /usr/local/bin/node /usr/local/bin/
COPY --from=node-packages /app/node_modules node_modules/
COPY --from=python-packages /app/.venv .venv/
COPY --from=contracts /app/common common/
COPY --from=contracts /app/openapi/orchestrator.json openapi/
COPY --chmod=755 lambda_orchestrator/ lambda_orchestrator/
COPY --chmod=644 aws/services-elsewhere.yml aws/
COPY --chmod=644 package.json serverless.yml ./
USER 10001:10001
# In a container 127.0.0.1 is reached by nobody else.
CMD ["node_modules/.bin/serverless", "offline", "--host", "0.0.0.0"]

FROM nginx:1.28-alpine AS nginx
COPY --chmod=644 docs/nginx.conf docs/nginx-server.conf /etc/nginx/
COPY --chmod=644 docs/nginx-addresses.compose.conf /etc/nginx/nginx-addresses.conf
USER 101:101
# Without the scripts of the image, which would change its own configuration.
ENTRYPOINT ["nginx", "-g", "daemon off;"]

FROM python AS program
COPY --from=python-packages /app/.venv .venv/
COPY --from=contracts /app/common common/
COPY --from=contracts /app/openapi/customers.json /app/openapi/orders.json openapi/
COPY --chmod=755 customers/ customers/
COPY --chmod=755 orders/ orders/
USER 10001:10001

FROM program AS migrations
COPY --from=node-packages /app/node_modules/@dbmate node_modules/@dbmate/
COPY --chmod=644 sql/*.py sql/seed.sql sql/
COPY --chmod=755 sql/migrations/ sql/migrations/
CMD ["python", "-m", "sql.migrate"]

# The last, so that `docker build .` makes it.
FROM program AS services
COPY --from=node-packages /app/node_modules/swagger-ui-dist/LICENSE \
     /app/node_modules/swagger-ui-dist/NOTICE \
     /app/node_modules/swagger-ui-dist/swagger-ui-bundle.js \
     /app/node_modules/swagger-ui-dist/swagger-ui.css common/docs/swagger-ui/
EXPOSE 3001 3002
