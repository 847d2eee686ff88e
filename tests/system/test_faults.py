"""Three faults of the campaign (`make faults`), for a few seconds each, with one database server."""

import pytest

from tests.faults import campaign
from tests.faults.faults import FAULTS
from tests.faults.world import SCHEMA, Alone, World, unpack_function

SECONDS = 4
pytestmark = pytest.mark.timeout(300)  # the first test starts everything


@pytest.fixture(scope="module")
def world(own_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with World(Alone(own_server), unpack_function(folder), folder) as world:
        yield world
    with own_server.root() as cursor:
        cursor.execute(f"DROP DATABASE {SCHEMA}")


@pytest.mark.parametrize("name", ["workers", "commit", "primary-killed"])
def test_every_order_is_as_its_client_was_told_after_a_fault(world, name):
    row = campaign.run(world, FAULTS[name], SECONDS, before=1, after=1)

    assert row.violations == []
    assert row.is_well
