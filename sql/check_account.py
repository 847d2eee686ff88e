"""Checks the settings, and that the mysql image can make an account of them: `python -m sql.check_account`.

docker-compose.yml runs it before MySQL's first start. The image writes both values into an SQL
text as they are: it would fail halfway, and leave a volume that is taken for a whole one.
"""

import re

from common.config import SECRETS, ConfigError, exit_on_error, load, read_environment

if __name__ == "__main__":
    with exit_on_error():
        settings, database = load()
        environ = read_environment()
        for name in SECRETS:
            if settings.app_env == "production" and environ.get(name):
                raise ConfigError(f"{name} must come from a file in containers: set {name}_FILE in its place")
        if not re.fullmatch(r"(?!root$)[A-Za-z0-9_.-]{1,32}", database.user):
            raise ConfigError("DB_USER must be 1 to 32 letters, digits, _ . or - in containers, and not root")
        if re.search(r"['\\\\\n]", database.password):
            raise ConfigError("DB_PASSWORD must be one line without ' and \\ in containers")
