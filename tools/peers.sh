#!/usr/bin/env bash
# Install the other implementations that the interop tests and the benchmark talk to, where that is possible;
# say what is left out where it is not. It never fails: tests that lack their peer are skipped, each with its reason.
set -uo pipefail

command -v storescp >/dev/null && exit 0

if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    echo "peers: installing dcmtk" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq; apt-get install -y -qq dcmtk; } </dev/null >&2
    command -v storescp >/dev/null && exit 0
    echo "peers: apt-get could not install dcmtk: what talks to DCMTK is skipped" >&2
elif [ -f /etc/debian_version ]; then
    echo "peers: storescp not found and not root: what talks to DCMTK is skipped (as root: apt-get install dcmtk)" >&2
else
    echo "peers: storescp not found: what talks to DCMTK is skipped (install DCMTK to run it)" >&2
fi
exit 0
