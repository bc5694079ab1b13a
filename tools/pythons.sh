#!/usr/bin/env bash
# Run the tests under every other CPython from 3.11 on that is here, each in an environment of its own (.venv-3.12 ...):
#   tools/pythons.sh          run them; the interpreter that `make test` uses (PYTHON, default python3) is left out
#   tools/pythons.sh --list   only say which there are: a line each, version and path
#
# Looked for on PATH (python3.11, python3.12, ...), and among the versions of pyenv. Of each minor version the newest is
# taken. Not taken: other implementations, builds without the GIL, and what is not released yet.
# The tests with other implementations run once, in `make test`: they test the wire, which is the same for all. Tests with
# generated examples have fewer of them here, and those marked as slow run once, in `make test`. What hostile peers cost
# is measured once, too: it is a matter of our code.
set -uo pipefail
cd "$(dirname "$0")/.."

first=${PYTHON:-python3}
workers=${WORKERS:-4}

ask='import platform, sys, sysconfig
v = sys.version_info
if v >= (3, 11) and platform.python_implementation() == "CPython" and v.releaselevel == "final":
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        print("%d.%d.%d" % v[:3], sys._base_executable or sys.executable)'

# Version and path of each that runs; the newest of each minor version first.
candidates() {
    local folder name
    {
        IFS=:
        for folder in $PATH; do
            for name in "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do
                [ -x "$name" ] && printf '%s\n' "$name"
            done
        done
        unset IFS
        command -v pyenv >/dev/null && ls -d "$(pyenv root)"/versions/*/bin/python
        ls -d "$HOME"/.pyenv/versions/*/bin/python
    } 2>/dev/null | sort -u | while read -r name; do
        # A shim of pyenv whose version is not chosen says so and fails.
        "$name" -c "$ask" 2>/dev/null </dev/null
    done | sort -t. -k1,1n -k2,2n -k3,3nr -u
}

minor() { printf '%s' "${1%.*}"; }

found=$(candidates | awk '{ split($1, v, "."); if (!seen[v[1] "." v[2]]++) print }')
if [ "${1:-}" = --list ]; then
    printf '%s\n' "$found"
    exit 0
fi

own=$("$first" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1
claimed=$(sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
failed='' ran="$own" left=''

while read -r version path; do
    [ -n "$version" ] && [ "$(minor "$version")" != "$own" ] || continue
    name=$(minor "$version")
    echo "pythons: CPython $version, $path" >&2
    if ! VENV=".venv-$name" PYTHON="$path" tools/setup.sh test; then
        # What is not claimed may lack a dependency that was not built for it yet.
        if grep -qxF "$name" <<<"$claimed"; then failed="$failed $name"; else left="$left $name"; fi
        continue
    fi
    if ".venv-$name/bin/python" -m pytest -n "$workers" --dist worksteal --ignore=tests/interop --ignore=tests/cost -m "not interop and not slow" --hypothesis-profile=brief -q </dev/null; then
        ran="$ran $name"
    else
        failed="$failed $name"
    fi
done <<<"$found"

echo "pythons: the tests pass under CPython $(tr ' ' '\n' <<<"$ran" | sort -V | paste -sd' ')"
for name in $claimed; do
    grep -qwF "$name" <<<"$ran $failed" || echo "pythons: CPython $name is claimed in pyproject.toml and not found here"
done
for name in $ran; do
    grep -qxF "$name" <<<"$claimed" || echo "pythons: CPython $name runs them and is not claimed in pyproject.toml"
done
[ -z "$left" ] || echo "pythons: what the tests need could not be installed under CPython$left, which is not claimed"
[ -z "$failed" ] || echo "pythons: failed under CPython$failed"
[ -z "$failed" ]
