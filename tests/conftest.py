"""The fixtures that every test may ask for; each room's live in `tests/fixtures`."""

pytest_plugins = [
    "tests.fixtures.model",
    "tests.fixtures.postgres",
    "tests.fixtures.providers",
    "tests.fixtures.web",
    "tests.fixtures.retrieval",  # after web, whose settings it takes
]
