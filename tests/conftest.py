"""The fixtures that every test may ask for; each room's live in `tests/fixtures`."""

from hypothesis import settings

# How long an example takes says what else the machine is doing.
settings.register_profile("parley", deadline=None)
settings.load_profile("parley")

pytest_plugins = [
    "tests.fixtures.alone",
    "tests.fixtures.model",
    "tests.fixtures.postgres",
    "tests.fixtures.pgbouncer",  # after postgres, whose folders it takes
    "tests.fixtures.providers",
    "tests.fixtures.web",
    "tests.fixtures.people",
    "tests.fixtures.storage",
    "tests.fixtures.retrieval",  # after web, whose settings it takes
]
