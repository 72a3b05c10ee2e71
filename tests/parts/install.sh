#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the real parts that the tests use in place: as root on Debian it says what it installs and installs it;
# elsewhere it says loudly what is missing, and the tests that need it are skipped (in CI they fail).
set -eu

missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
# What drives the browser is linked against libatomic, and a page without any font has no width to judge.
ls /usr/lib/*/libatomic.so.1 >/dev/null 2>&1 || missing="$missing libatomic1"
ls /usr/share/fonts/truetype/*/*.ttf >/dev/null 2>&1 || missing="$missing fonts-dejavu-core"
# A Docker engine of the tests' own (tests/parts/docker.py), in namespaces that iproute2 brings up; its images hold busybox.
[ -x /usr/sbin/dockerd ] || missing="$missing docker.io"
[ -x /bin/busybox ] || missing="$missing busybox-static"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
# What asks every port of a device (tests/parts/closed.py).
command -v nmap >/dev/null 2>&1 || missing="$missing nmap"

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "tests: installing from Debian:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # The tests start servers of their own; Debian's default cluster would only take a port and memory.
    case "$missing" in *postgresql*)
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            mkdir -p /etc/postgresql-common
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        fi ;;
    esac
    # Neither Docker nor its containerd is to run on this machine because tests are: Debian asks policy-rc.d before it starts
    # what it installs (101: do not), and what it has enabled for the next start of the machine is disabled again.
    policy=""
    case "$missing" in *docker.io*)
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            policy=/usr/sbin/policy-rc.d
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi ;;
    esac
    # shellcheck disable=SC2086 # one word a package
    if { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
        case "$missing" in *docker.io*)
            if command -v systemctl >/dev/null 2>&1; then
                systemctl disable --quiet docker.service docker.socket containerd.service || true
            fi ;;
        esac
        exit 0
    fi
    echo "tests: apt-get could not install:$missing" >&2
fi

echo "tests: ============================================================" >&2
echo "tests: MISSING:$missing" >&2
echo "tests: What needs it is SKIPPED. To have it: sudo apt-get install$missing" >&2
echo "tests: ============================================================" >&2
[ "${CHECKVALVE_REQUIRE_PARTS:-}" != 1 ] || exit 1
