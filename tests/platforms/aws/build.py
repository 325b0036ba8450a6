"""What `make lambda-package` makes of this repository, without AWS: the package and the CloudFormation template."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

ROOT: Final = Path(__file__).resolve().parents[3]
NPM: Final = ROOT / ".tools" / "npm" / "node_modules"
OSLS: Final = NPM / ".bin" / "serverless"
STAGE: Final = ("--stage", "check", "--region", "eu-central-1")


@dataclass(frozen=True)
class Template:
    """A CloudFormation template."""

    whole: Mapping[str, Any]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of each resource of a kind, by its name in the template."""
        resources: dict[str, Any] = self.whole["Resources"]
        return {
            name: resource.get("Properties", {}) for name, resource in resources.items() if resource["Type"] == kind
        }

    def function(self, name: str) -> dict[str, Any]:
        """Return the properties of a function of serverless.yml."""
        return self.of("AWS::Lambda::Function")[f"{name.capitalize()}LambdaFunction"]

    def holds(self, condition: str) -> bool:
        """Tell whether a condition of the template holds. Those of ours know only literals."""
        return _holds(self.whole["Conditions"][condition])

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """Yield what a role may do, where the conditions of this template hold."""
        for policy in self.of("AWS::IAM::Role")[role]["Policies"]:
            granted = policy
            if "Fn::If" in policy:
                condition, then, otherwise = policy["Fn::If"]
                granted = then if self.holds(condition) else otherwise
            if granted != {"Ref": "AWS::NoValue"}:
                yield from granted["PolicyDocument"]["Statement"]


def _holds(condition: dict[str, Any]) -> bool:
    match condition:
        case {"Fn::And": parts}:
            return all(_holds(part) for part in parts)
        case {"Fn::Not": [part]}:
            return not _holds(part)
        case {"Fn::Equals": [str(one), str(other)]}:
            return one == other
        case _:
            raise ValueError(condition)


@dataclass(frozen=True)
class Tree:
    """A copy of what git tracks, for building in."""

    folder: Path

    @property
    def zip(self) -> Path:
        """The package, once it is built."""
        return self.folder / ".lambda" / "parley.zip"

    def build(self, architecture: str) -> None:
        """Build the package, as `make lambda-package` begins."""
        command = ["sh", "scripts/aws/package.sh", architecture]
        subprocess.run(command, cwd=self.folder, env=_environment(), check=True)

    def osls(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run osls with these variables, and nobody's login."""
        command = [str(OSLS), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=_environment() | variables, check=False, capture_output=True, text=True
        )

    def package(self, **variables: str) -> Template:
        """Return the template of a deployment with these variables, as `make lambda-package` ends."""
        done = self.osls("package", *STAGE, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return Template(
            json.loads((self.folder / ".serverless" / "cloudformation-template-update-stack.json").read_text())
        )

    def unpack(self, into: Path) -> None:
        """Unpack the package as Lambda does: files keep their modes, and nobody may write."""
        with ZipFile(self.zip) as package:
            for entry in package.infolist():
                path = Path(package.extract(entry, into))
                if not entry.is_dir():
                    path.chmod((entry.external_attr >> 16) & 0o555)


def machine() -> str:
    """Return this machine's architecture, in the words of wheels."""
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())


def interpreter() -> Path:
    """Return a Python 3.12 that has no packages of ours."""
    return Path(sys.base_prefix) / "bin" / "python3.12"


def _environment() -> dict[str, str]:
    """Return an environment in which uv and osls work, and no variable of Parley's or AWS's is set."""
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    kept = ("HOME", "LANG", "TMPDIR", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE")
    return {
        "PATH": os.pathsep.join([f"{sys.base_prefix}/bin", os.environ["PATH"]]),
        "UV": os.environ.get("UV", uv),
        "SLS_TELEMETRY_DISABLED": "1",
        **{name: os.environ[name] for name in kept if name in os.environ},
    }
