"""The fixtures that every test may ask for; each room's live in `tests/fixtures`."""

pytest_plugins = ["tests.fixtures.postgres", "tests.fixtures.providers", "tests.fixtures.web"]
