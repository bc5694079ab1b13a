#!/usr/bin/env bash
# Make a virtual environment and install the project into it, editable: tools/setup.sh cli | screen | dev | docs | test
#
# What is installed stays until pyproject.toml or the interpreter changes: a stamp in the environment remembers both, by
# content. PYTHON names the interpreter (default: python3), VENV the environment (default: .venv).
set -euo pipefail
cd "$(dirname "$0")/.."

extra=${1:?usage: tools/setup.sh cli|screen|dev|docs|test}
venv=${VENV:-.venv}
python=${PYTHON:-python3}

die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null || die "$python not found: install Python 3.11 or newer, or set PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or newer is needed; $python is $("$python" -V 2>&1)." \
        "Name a newer one, for example: make test PYTHON=python3.13"

wanted="$PWD $("$python" -c 'import sys; print(sys.base_prefix, sys.version)' | tr '\n' ' ') $(cksum <pyproject.toml)"

is_current() { [ -f "$1" ] && [ "$(cat "$1")" = "$wanted" ]; }

# dev contains all that cli, screen and test need.
if [ -x "$venv/bin/python" ] && { is_current "$venv/.installed-$extra" ||
    { [[ "$extra" =~ ^(cli|screen|test)$ ]] && is_current "$venv/.installed-dev"; }; }; then
    exit 0
fi

make_venv() { "$python" -m venv --clear "$venv" >&2; }

# A virtual environment that still runs and belongs to this interpreter is kept: only what changed is installed.
same='import sys; print(sys.base_prefix, sys.version)'
if ! [ -x "$venv/bin/pip" ] || [ "$("$venv/bin/python" -c "$same" 2>/dev/null)" != "$("$python" -c "$same")" ]; then
    echo "setup: making $venv with $("$python" -V)" >&2
    if ! make_venv; then
        rm -rf "$venv"
        if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
            echo "setup: installing python3-venv" >&2
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq </dev/null >&2 || true
            apt-get install -y -qq python3-venv </dev/null >&2 || die "apt-get could not install python3-venv"
            make_venv || die "$python -m venv fails although python3-venv is installed"
        elif [ -f /etc/debian_version ]; then
            die "$python cannot make virtual environments. As root: apt-get install python3-venv"
        else
            die "$python cannot make virtual environments: install the venv and ensurepip modules of that Python"
        fi
    fi
fi

echo "setup: installing dicos-proto[$extra] into $venv" >&2
rm -f "$venv/.installed-$extra"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --editable ".[$extra]" </dev/null >&2 ||
    die "pip could not install dicos-proto[$extra]"
printf '%s\n' "$wanted" >"$venv/.installed-$extra"
