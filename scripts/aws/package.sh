#!/bin/sh
# Build .lambda/parley.zip, which every function of serverless.yml runs from: `sh scripts/aws/package.sh [ARCHITECTURE]`.
#
# ARCHITECTURE is that of the functions, aarch64 unless given. What they need lies beside api/ and lib/, at the root, where
# Lambda's Python looks first. All of it is compiled ahead: Lambda keeps no bytecode, so each cold start would compile every
# module again. The bytecode is never compared with its source, whose date Lambda sets anew; so it is made of a copy, since
# in the working tree it would hide the next edit.
set -eu
cd "$(dirname "$0")/../.."
architecture=${1:-aarch64}

uv=${UV:-uv}
"$uv" --version >/dev/null 2>&1 || uv=.tools/bin/uv
python=$("$uv" python find 3.12) # the runtime's; another's bytecode would be of no use

rm -rf .lambda
mkdir -p .lambda/root/scripts
"$uv" pip install --quiet --requirements requirements.txt --target .lambda/root --only-binary :all: \
    --python "$python" --python-version 3.12 --python-platform "$architecture-manylinux_2_28"
rm -rf .lambda/root/bin .lambda/root/.lock
cp -R api lib .lambda/root
cp scripts/stream.sh .lambda/root/scripts
find .lambda/root -name __pycache__ -prune -exec rm -rf {} +
"$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s .lambda/root -p /var/task .lambda/root
cd .lambda/root
"$python" -m zipfile -c ../parley.zip ./*
