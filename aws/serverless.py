"""Checks the settings of a deployment, then hands over to the Serverless Framework: `aws/serverless …`.

The functions check their settings too, but only when they run; by then a wrong one has been deployed.
"""

import os
import re
import sys

from aws import package
from common import config

COMMANDS = ("package", "deploy", "print", "info", "logs", "rollback", "remove")

# As step 4 of docs/aws.md lists them.
SETTINGS = (
    "SERVICES", "SECRET_ID", "CUSTOMERS_API_BASE", "ORDERS_API_BASE", "AWS_REGION", "DB_HOST", "DB_PORT",
    "CUSTOMERS_DB_USER", "ORDERS_DB_USER", "DB_NAME", "DB_TLS_CA", "DB_TLS", "VPC_SUBNET_IDS",
    "VPC_SECURITY_GROUP_IDS", "SERVICE_CONCURRENCY", "LOGIN_CONCURRENCY", "CANCEL_WINDOW_SECONDS",
    "ORDER_TTL_SECONDS", "API_DOCS", "PACKAGES",
)  # fmt: skip
REQUIRED = {
    "elsewhere": ("CUSTOMERS_API_BASE", "ORDERS_API_BASE"),
    "lambda": ("DB_HOST", "CUSTOMERS_DB_USER", "ORDERS_DB_USER", "VPC_SUBNET_IDS", "VPC_SECURITY_GROUP_IDS"),
}
_HTTPS = (
    r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?",
    "an https address: the token goes there",
)
_USER = (r"[A-Za-z0-9_.-]{1,32}", "a MySQL user of letters, digits, _ . or -")
# What the framework or CloudFormation would take and Lambda would not, or not as it was meant.
FORMS = {
    "SECRET_ID": (r"[A-Za-z0-9/_+=.@-]+|arn:[A-Za-z0-9/_+=.@:-]+", "a secret's name or ARN"),
    "CUSTOMERS_API_BASE": _HTTPS,
    "ORDERS_API_BASE": _HTTPS,
    "AWS_REGION": (r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region, as eu-central-1"),
    "DB_HOST": (r"[][A-Za-z0-9.:,-]{1,999}", "a host name, or several with commas between them"),
    "CUSTOMERS_DB_USER": _USER,
    "ORDERS_DB_USER": _USER,
    "VPC_SUBNET_IDS": (r"subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*", "subnet ids with commas between them"),
    "VPC_SECURITY_GROUP_IDS": (r"sg-[0-9a-f]+(,sg-[0-9a-f]+)*", "security group ids with commas between them"),
    "SERVICE_CONCURRENCY": (r"[1-9][0-9]{0,4}", "a whole number from 1"),
    "LOGIN_CONCURRENCY": (r"[1-9][0-9]{0,4}", "a whole number from 1"),
}
# In the place of what Secrets Manager holds and CloudFormation makes.
STAND_INS = {name: f"{name}-of-32-characters-or-more" for name in config.SECRETS}
STAND_INS |= {"APP_ENV": "production", "DB_HOST": "localhost"}
STAND_INS |= dict.fromkeys(("CUSTOMERS_DB_USER", "ORDERS_DB_USER"), "user")
STAND_INS |= dict.fromkeys(("CUSTOMERS_API_BASE", "ORDERS_API_BASE"), "https://api.invalid")


def problems(settings: dict[str, str]) -> list[str]:
    """Return a line for each setting that is missing or wrong; `settings` has those that are set."""
    services = settings.get("SERVICES", "elsewhere")
    if services not in REQUIRED:
        return ["SERVICES must be elsewhere or lambda"]
    found = [f"{name} is not set" for name in REQUIRED[services] if name not in settings]
    found += [
        f"{name} must be {text}"
        for name, (pattern, text) in FORMS.items()
        if name in settings and not re.fullmatch(pattern, settings[name])
    ]
    folder = package.ROOT / settings.get("PACKAGES", "dist")
    if "PACKAGES" in settings and not all((folder / f"{name}.zip").is_file() for name in package.FUNCTIONS):
        found.append("PACKAGES must be a folder with the zips of make package")
    elif "PACKAGES" in settings and "DB_TLS_CA" in settings and not package.have_authority(folder):
        found.append("PACKAGES must be a folder with zips that were made with DB_TLS_CA")
    if not found:
        try:
            config.load_settings(STAND_INS | settings)
            for service in ("customers", "orders"):
                config.load_database_settings(STAND_INS | settings, service)
        except config.ConfigError as ex:
            found.append(str(ex))
    return found


def main(command: str = "", *arguments: str):
    """Check the arguments and settings, build what will be deployed, and become the framework."""
    if command not in COMMANDS or any(word.startswith(("--stage", "-s", "--param")) for word in arguments):
        raise SystemExit(f"usage: aws/serverless {'|'.join(COMMANDS)} …; the stage is always prod")
    # `deploy function` and `deploy -f NAME` ask Lambda itself, to which the references to secrets are mere text.
    if command == "deploy" and not set(arguments) <= {"list", "--force", "--verbose"}:
        raise SystemExit("usage: aws/serverless deploy [list] [--force] [--verbose]")
    # Empty counts as not set, as everywhere in this project; the framework would take it as a value.
    settings = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    if found := problems(settings):
        raise SystemExit("\n".join(f"aws: {line} (docs/aws.md, step 4)" for line in found))
    if "SERVICE_CONCURRENCY" in settings:  # whose account has instances to reserve
        settings.setdefault("LOGIN_CONCURRENCY", "2")
    if command in ("package", "deploy") and "list" not in arguments and "PACKAGES" not in settings:
        package.main()
    if "DB_TLS_CA" in settings:
        settings["DB_TLS_CA"] = f"/var/task/{package.AUTHORITY}"  # where Lambda unpacks the zips
    others = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    program = str(package.ROOT / "node_modules" / ".bin" / "serverless")
    words = [program, command, *arguments, "--stage", "prod"]
    os.execve(program, words, others | settings | {"NODE_NO_WARNINGS": "1"})  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    main(*sys.argv[1:])
