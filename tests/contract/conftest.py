"""A world of its own for the tests that replay the documents' examples."""

import dataclasses

import mysql.connector
import pytest

from common.database import Database
from tests.conftest import migrate
from tests.contract.programs import Moments, Programs
from tests.contract.world import World


@pytest.fixture(scope="session")
def examples_settings(database_settings):
    """The settings of a migrated schema, and beside it an empty one, `…_empty`."""
    settings = dataclasses.replace(database_settings, name=f"{database_settings.name}_examples")
    connection = mysql.connector.connect(
        host=settings.host, port=settings.port, user=settings.user, password=settings.password, use_pure=False
    )
    cursor = connection.cursor()
    for name in (settings.name, f"{settings.name}_empty"):
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    cursor.execute(f"CREATE DATABASE {settings.name}_empty")
    migrate(settings.name)
    yield settings
    for name in (settings.name, f"{settings.name}_empty"):
        cursor.execute(f"DROP DATABASE {name}")
    connection.close()


@pytest.fixture(scope="session")
def world(settings, examples_settings):
    """The three programs on that schema, at moments that a scene sets."""
    clock, database = Moments(), Database(examples_settings)
    with Programs(settings, database, clock) as programs:
        world = World(settings, examples_settings, database, clock, programs)
        yield world
        world.close()
    database.close()
