"""Checks the settings, and that the accounts can be made of them: `python -m sql.check_account`.

docker-compose.yml runs it before MySQL's first start. The image writes DB_USER and DB_PASSWORD into an SQL text as they
are: it would fail halfway, and leave a volume that is taken for a whole one. sql/accounts makes the others.
"""

import re

from common import config
from sql.grants import GRANTS


def main():
    """Raise `ConfigError` on the first bad setting."""
    environ = config.read_environment()
    settings = config.load_settings(environ)
    for name in config.SECRETS:
        if settings.app_env == "production" and environ.get(name):
            raise config.ConfigError(f"{name} must come from a file in containers: set {name}_FILE in its place")
    users = set(GRANTS)  # roles, which are names of the same kind
    for service, prefix in (("", ""), ("customers", "CUSTOMERS_"), ("orders", "ORDERS_")):
        database = config.load_database_settings(environ, service)
        if not re.fullmatch(r"(?!root$)[A-Za-z0-9_.-]{1,32}", database.user):
            raise config.ConfigError(f"{prefix}DB_USER must be 1 to 32 letters, digits, _ . or -, and not root")
        if database.user in users:
            raise config.ConfigError(f"{prefix}DB_USER must be no other account's name, nor a role's")
        if re.search(r"['\\\x00-\x1f\x7f]", database.password):
            raise config.ConfigError(f"{prefix}DB_PASSWORD must be one line without ' and \\ in containers")
        users.add(database.user)


if __name__ == "__main__":
    with config.exit_on_error():
        main()
