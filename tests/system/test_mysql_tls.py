"""MySQL behind a certificate: whoever connects verifies its authority and its name."""

import os
import subprocess

import pytest

from common import config
from sql import migrate
from tests.conftest import run_module

MADE_NOW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def make_certificate(folder, name, *options):
    """Make `NAME.pem` and its key, `NAME.key`; return the path of the first."""
    files = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
    command = ("openssl", "req", "-x509", *MADE_NOW, "-subj", f"/CN={name}", *options, *files)
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"{name}.pem"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory, own_server):
    """{name: path} of two authorities; the server has a certificate of the first one, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    made = {name: make_certificate(folder, name) for name in ("right", "other")}
    signed = ("-CA", made["right"], "-CAkey", folder / "right.key", "-addext", "basicConstraints=critical,CA:FALSE")
    certificate = make_certificate(folder, "server", *signed, "-addext", "subjectAltName=IP:127.0.0.1")
    with own_server.root() as cursor:
        files = map(str, (made["right"], certificate, folder / "server.key"))
        cursor.execute("SET GLOBAL ssl_ca = %s, GLOBAL ssl_cert = %s, GLOBAL ssl_key = %s", tuple(files))
        cursor.execute("ALTER INSTANCE RELOAD TLS")
    return made


@pytest.fixture
def environ(own_server):
    """The environment of programs that use the server."""
    return os.environ | own_server.login("b2b", "b2b-development") | {"DB_NAME": "b2b_tls", "DB_TLS": ""}


def test_programs_and_migrations_connect_to_the_server_that_they_know(own_server, authorities, environ):
    environ["DB_TLS_CA"] = str(authorities["right"])

    runs = [run_module(module, environ=environ) for module in ("sql.migrate", "sql.seed")]
    client = own_server.run("client", stdin="SHOW STATUS LIKE 'Ssl_cipher';", **environ)

    assert [(run.returncode, run.stderr) for run in runs] == [(0, ""), (0, "")]
    assert client.returncode == 0, client.stderr
    assert "TLS_" in client.stdout


# Whoever makes up a certificate, and whoever has a right one of another machine.
IMPOSTORS = pytest.mark.parametrize(("authority", "host"), [("other", "127.0.0.1"), ("right", "localhost")])


@IMPOSTORS
@pytest.mark.parametrize(("module", "said"), [("sql.migrate", "SSL"), ("sql.seed", "does not answer")])
def test_programs_refuse_a_server_that_they_do_not_know(authorities, environ, authority, host, module, said):
    run = run_module(module, environ=environ | {"DB_TLS_CA": str(authorities[authority]), "DB_HOST": host})

    assert run.returncode == 1
    assert said in run.stderr


@IMPOSTORS
def test_dbmate_refuses_a_server_that_it_does_not_know(authorities, environ, authority, host):
    settings = config.load_database_settings(environ | {"DB_TLS_CA": str(authorities[authority]), "DB_HOST": host})
    command = [migrate.dbmate_path(), "--migrations-dir", migrate.MIGRATIONS, "status"]

    run = subprocess.run(
        command, env=migrate.dbmate_environment(settings), capture_output=True, text=True, check=False, timeout=60
    )

    assert run.returncode != 0
    assert "x509: certificate" in run.stderr


@IMPOSTORS
def test_mysql_prompt_refuses_a_server_that_it_does_not_know(own_server, authorities, environ, authority, host):
    own = {"DB_TLS_CA": str(authorities[authority]), "DB_HOST": host}

    run = own_server.run("client", stdin="SELECT 1;", **environ | own)

    assert (run.returncode, run.stdout) == (1, "")
    assert "SSL" in run.stderr
