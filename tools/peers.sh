#!/usr/bin/env bash
# Install the other implementations that the interop tests and the benchmark talk to, where that is possible;
# say what is left out where it is not. It never fails: tests that lack their peer are skipped, each with its reason.
set -uo pipefail

# pyDICOS, Stratovan's toolkit: into a virtual environment of its own, since its wheels are for CPython 3.8 to 3.11
# only. PYDICOS_VENV names one that is there already.
pydicos() {
    local venv=${XDG_CACHE_HOME:-$HOME/.cache}/dicos-proto/pydicos python found=
    "${PYDICOS_VENV:-$venv}/bin/python" -c 'import pyDICOS' 2>/dev/null && return
    if [ -n "${PYDICOS_VENV:-}" ]; then
        echo "peers: no pyDICOS in $PYDICOS_VENV: what talks to it is skipped" >&2
        return
    fi
    [ "$(uname -sm)" = "Linux x86_64" ] && for python in python3.11 python3.10 python3.8; do
        "$python" -c 'import venv' 2>/dev/null && found=$python && break
    done
    if [ -z "$found" ]; then
        echo "peers: no CPython 3.8, 3.10 or 3.11 on Linux x86_64: what talks to pyDICOS is skipped" >&2
        return
    fi
    echo "peers: installing pydicos into $venv" >&2
    { "$found" -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input pydicos==1.3.0; } </dev/null >&2
    "$venv/bin/python" -c 'import pyDICOS' 2>/dev/null && return
    rm -rf "$venv"
    echo "peers: pydicos 1.3.0 could not be installed: what talks to pyDICOS is skipped" >&2
}

pydicos

# Files of other projects, for the test that sends them (tests/interop/test_files_of_others.py): what these packages ship
# is unpacked into a cache, never into the checkout. DICOS_FILES names a folder that has them already.
files_of() {
    local folder=${DICOS_FILES:-${XDG_CACHE_HOME:-$HOME/.cache}/dicos-proto/files} name=$1 how=$2 python=.venv/bin/python
    [ -d "$folder/$name" ] && return
    [ -x "$python" ] || python=python3
    local made
    made=$(mktemp -d)
    echo "peers: fetching the files of $name" >&2
    if "$python" -m pip download --quiet --disable-pip-version-check --no-input --no-deps "$how" "${name%-*}" \
        --dest "$made" "${name%-*}==${name##*-}" </dev/null >&2; then
        mkdir -p "$folder" "$made/in" &&
            case $(ls "$made"/*.whl "$made"/*.tar.gz 2>/dev/null) in
                *.whl) "$python" -m zipfile -e "$made"/*.whl "$made/in" ;;
                *.tar.gz) tar -xzf "$made"/*.tar.gz -C "$made/in" ;;
                *) false ;;
            esac && mv "$made/in" "$folder/$name"
    fi
    rm -rf "$made"
    [ -d "$folder/$name" ] || echo "peers: $name could not be fetched: its files are not sent" >&2
}

# dcmjs-dimse, of npm: into a cache. DCMJS_DIMSE names a node_modules that has it already.
dcmjs() {
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/dicos-proto/dcmjs
    [ -d "${DCMJS_DIMSE:-$folder/node_modules}/dcmjs-dimse" ] && return
    if ! command -v npm >/dev/null; then
        echo "peers: no npm: what talks to dcmjs-dimse is skipped" >&2
        return
    fi
    echo "peers: installing dcmjs-dimse into $folder" >&2
    mkdir -p "$folder"
    npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts dcmjs-dimse@0.3.3 </dev/null >&2 ||
        rm -rf "$folder/node_modules"
    [ -d "$folder/node_modules/dcmjs-dimse" ] ||
        echo "peers: dcmjs-dimse could not be installed: what talks to it is skipped" >&2
}

dcmjs

# atheris, which guides the fuzz targets by coverage: into the environment of the tests. Its wheels are for CPython 3.11.
atheris() {
    local python=${VENV:-.venv}/bin/python
    [ -x "$python" ] || return
    "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("atheris") is None)' && return
    if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        echo "peers: atheris needs CPython 3.11: its test is skipped" >&2
        return
    fi
    echo "peers: installing atheris" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --no-input 'atheris>=3.0' </dev/null >&2 ||
        echo "peers: atheris could not be installed: its test is skipped" >&2
}

atheris

files_of dicognito-0.19.0 --no-binary
files_of pydicom_data-1.0.0 --only-binary

# command, Debian package, what it is
peers=("storescp dcmtk DCMTK" "tshark tshark tshark" "chromium chromium Chromium" "chromedriver chromium-driver chromedriver")

missing() {
    local command package name
    for peer in "${peers[@]}"; do
        read -r command package name <<<"$peer"
        command -v "$command" >/dev/null || echo "$package $name"
    done
}

wanted=$(missing)
[ -z "$wanted" ] && exit 0

if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null >&2
    while read -r package _; do
        echo "peers: installing $package" >&2
        apt-get install -y -qq --no-install-recommends "$package" </dev/null >&2
    done <<<"$wanted"
    why="apt-get could not install it"
elif [ -f /etc/debian_version ]; then
    why="not found and not root (as root: apt-get install dcmtk tshark chromium chromium-driver)"
else
    why="not found (install it to run this)"
fi

missing | while read -r _ name; do
    echo "peers: $name: $why: what needs it is skipped" >&2
done
exit 0
