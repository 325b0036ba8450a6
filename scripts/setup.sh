#!/bin/sh
# Prepare this clone: `sh scripts/setup.sh GROUP` brings the locked packages of a dependency group into .venv.
#
# It needs a Python of at least 3.11 and nothing else. Whatever it has to fetch stays inside the clone.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
group=$1
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT

if ! [ -w "${HOME:-/nonexistent}" ]; then
    export UV_CACHE_DIR="$root/.tools/cache" UV_PYTHON_INSTALL_DIR="$root/.tools/python"
fi

# Outside the clone: a pyenv shim obeys the clone's .python-version, and fails where that version is not installed.
cd /
if uv --version >/dev/null 2>&1; then
    uv=uv
else
    uv="$root/.tools/bin/uv"
    if ! "$uv" --version >/dev/null 2>&1; then
        echo "Fetching uv into .tools" >&2
        # Some systems ship Python without venv, others without pip.
        if python3 -m venv "$root/.tools" 2>/dev/null; then
            "$root/.tools/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check uv
        else
            python3 -m pip install --quiet --no-cache-dir --disable-pip-version-check --target "$root/.tools" uv
        fi
    fi
fi

cd "$root"
# Python 3.12 is what the functions run on; a later one will do where it is all there is.
if ! "$uv" python find >/dev/null 2>&1 && "$uv" python find '>=3.12' >/dev/null 2>&1; then
    export UV_PYTHON='>=3.12'
fi
"$uv" sync --quiet --locked --inexact --no-default-groups --group "$group"
touch ".venv/$group.stamp"
