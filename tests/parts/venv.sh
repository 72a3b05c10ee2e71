#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian keeps `venv` in a package of its own: install it as root, else say what to do. Takes the name of the Python.
set -eu

version=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing from Debian: $version"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$version" >/dev/null || apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    if "$1" -c 'import venv, ensurepip' 2>/dev/null; then
        exit 0
    fi
fi

echo "setup: $1 cannot make virtual environments. Run: sudo apt-get install python3-venv; then again: make setup" >&2
exit 1
