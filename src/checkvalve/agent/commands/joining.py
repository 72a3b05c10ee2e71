# SPDX-License-Identifier: Apache-2.0
"""`join`: the command that makes a machine a device of a plane."""

import argparse
import asyncio
import socket

from checkvalve import __version__
from checkvalve.agent import enrol
from checkvalve.agent.commands import line
from checkvalve.agent.disk import files


def add(command: line.Add) -> None:
    """Declare it."""
    join = command(
        "join",
        _join,
        "Have this device join a plane.",
        "checkvalve-agent join --server https://192.0.2.10:8443 --token cvj_... --ca-pin sha256:...",
    )
    join.add_argument(
        "--server", action="append", required=True, help="address of the plane, as often as there are; with commas too"
    )
    join.add_argument("--token", required=True, help="token of an invite")
    join.add_argument(
        "--ca-pin", required=True, help="fingerprint of the plane's authority, from the page of the invite"
    )
    join.add_argument("--name", default="", help="what people call this device (default: the host's name)")
    join.add_argument("--again", action="store_true", help="leave the plane that this device has joined before")
    line.dialling(join)


def _join(args: argparse.Namespace) -> int:
    invited = enrol.invitation(args.server, args.token, args.ca_pin, proxy=args.proxy, source=args.source)
    disk = files.take(args.data)
    try:
        made = asyncio.run(
            enrol.join(
                disk,
                invited,
                name=args.name or socket.gethostname(),
                machine=enrol.machine(),
                agent=__version__,
                again=args.again,
            )
        )
    finally:
        disk.close()
    if args.json:
        line.tell_json({"device": made.device, "plane": made.plane, "place": list(made.place)})
        return 0
    where = " / ".join(made.place) or "above all sites"
    line.tell(f"This device is {made.device} of the plane {made.plane!r}: {where}.")
    line.tell(f"  next      checkvalve-agent run --data {args.data}")
    return 0
