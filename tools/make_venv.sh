#!/bin/sh
# Make a virtual environment in the folder named, unless a working one is there. PYTHON names the interpreter to use.
set -eu
folder=$1

if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

seen=""
for python in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null) || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        seen="$seen; $python is $version"
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        seen="$seen; $python is $version and lacks the venv module (Debian: apt install python${version%.*}-venv)"
    else
        exec "$python" -m venv --clear "$folder"
    fi
done
echo "expunge needs Python >= 3.11 with the venv module${seen:-; found no Python}. Name another one with: make PYTHON=..." >&2
exit 3
