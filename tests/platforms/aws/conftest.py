"""One package and one template for all tests, and the AWS that functions of it read their secret from."""

import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lib.settings import Settings
from scripts.export import variables
from tests.fixtures.web import INTERNAL_KEY, JWT_KEY
from tests.platforms.aws.build import Template, Tree, machine
from tests.platforms.vercel.build import copy_tracked_files

SECRET = "parley/check"
BUCKET = "files-of-parley"
CANARY = "a-secret-that-lies-about-on-a-laptop"
CRON_KEY = "cron-secret-of-the-tests-0123456789"
REGION = "eu-central-1"

LAPTOP_FILES = (".env", ".env.production", ".data/secrets/jwt_secret_key", "notes.txt")
"""What lies about in a laptop's clone besides what git tracks."""

SECRETS = {
    variable: CANARY
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
    for variable in variables(name, field)
}
"""Every variable that is a secret, as a laptop has them set while it deploys."""


@pytest.fixture(scope="session")
def folder() -> Generator[Path]:
    """A folder that is gone after the tests."""
    made = Path(tempfile.mkdtemp(prefix="parley-lambda-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def tree(folder: Path) -> Tree:
    """The clone of a laptop, with the package that goes to AWS."""
    tree = Tree(folder / "tree")
    copy_tracked_files(tree.folder)
    for name in LAPTOP_FILES:
        path = tree.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{variable}={CANARY}\n" for variable in SECRETS))
    tree.build("aarch64")
    return tree


@pytest.fixture(scope="session")
def template(tree: Tree) -> Template:
    """The template of a deployment that has a bucket."""
    return tree.package(SECRETS_ID=SECRET, S3_BUCKET=BUCKET, **SECRETS)


@pytest.fixture(scope="session")
def root(folder: Path, tree: Tree, template: Template) -> Path:
    """The unpacked package, of this machine's architecture."""
    del template  # made first, since this build takes the place of the one for AWS
    if machine() != "aarch64":
        local = Tree(folder / "local")
        copy_tracked_files(local.folder)
        local.build(machine())
        tree = local
    tree.unpack(folder / "root")
    return folder / "root"


@pytest.fixture(scope="session")
def aws(database_url: str) -> Generator[dict[str, str]]:
    """What Lambda and the deployment set for a function whose secret holds all that is secret."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    held = {
        "NEON_DATABASE_URL": database_url,
        "JWT_SECRET_KEY": JWT_KEY,
        "INTERNAL_API_KEY": INTERNAL_KEY,
        "CRON_SECRET": CRON_KEY,
        "OPENAI_API_KEY": "key",
    }
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "key", "region_name": REGION}
    client: Any = boto3.client("secretsmanager", endpoint_url=endpoint, **keys)
    client.create_secret(Name=SECRET, SecretString=json.dumps(held))
    yield {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": endpoint,
    }
    server.stop()
