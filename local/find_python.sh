#!/bin/sh
# Print the interpreter to use: 3.13 first (Lambda's), then 3.12, 3.11, and any python3 of 3.11 or later.
# PYTHON=/path overrides the search. Every candidate is run, because a version manager's shim can exist and fail.
set -u

runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; }
makes_environments() { "$1" -c 'import ensurepip, venv' </dev/null >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    runs "$PYTHON" || { echo "PYTHON=$PYTHON is not a Python of version 3.11 or later that runs." >&2; exit 1; }
    makes_environments "$PYTHON" ||
        { echo "PYTHON=$PYTHON has no ensurepip: install its venv package (python3-venv on Debian)." >&2; exit 1; }
    echo "$PYTHON"
    exit 0
fi

crippled=""
for version in 3.13 3.12 3.11 3; do
    for candidate in "python$version" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version"*/bin/python3; do
        runs "$candidate" || continue
        if makes_environments "$candidate"; then
            command -v "$candidate"
            exit 0
        fi
        crippled="$candidate"
    done
done

if [ -n "$crippled" ]; then
    echo "$crippled has no ensurepip: install its venv package (python3-venv on Debian), or make PYTHON=/path ..." >&2
else
    echo "No Python of version 3.11 or later found: install one, or name it: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
