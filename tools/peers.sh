#!/usr/bin/env bash
# Install the other implementations that the interop tests and the benchmark talk to, where that is possible;
# say what is left out where it is not. It never fails: tests that lack their peer are skipped, each with its reason.
set -uo pipefail

# command, Debian package, what it is
peers=("storescp dcmtk DCMTK" "tshark tshark tshark")

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
    why="not found and not root (as root: apt-get install dcmtk tshark)"
else
    why="not found (install it to run this)"
fi

missing | while read -r _ name; do
    echo "peers: $name: $why: what needs it is skipped" >&2
done
exit 0
