# SPDX-License-Identifier: Apache-2.0
"""`dial`: by which way the plane is dialled, of a device that has joined: addresses, proxy, source.

Whom it believes there is not changed by it: that is the authority that joining pinned. So nothing is asked.
"""

import argparse
import dataclasses

from checkvalve.agent import enrol, identity, summary
from checkvalve.agent.commands import line
from checkvalve.agent.disk import files
from checkvalve.agent.identity import Identity
from checkvalve.agent.link import dialling
from checkvalve.errors import NotFoundError


def add(command: line.Add) -> None:
    """Declare it."""
    dial = command(
        "dial",
        _dial,
        "Show by which way the plane is dialled, or change it while the agent is stopped.",
        "checkvalve-agent dial --server https://192.0.2.10:8443,https://192.0.2.11:8443 --proxy -",
    )
    dial.add_argument(
        "--server", action="append", default=[], help="addresses of the plane from now on, in the order they are tried"
    )
    line.dialling(dial, None)


def _dial(args: argparse.Namespace) -> int:
    said = (args.server, args.proxy, args.source)
    known = summary.copied(args.data)[1] if said == ([], None, None) else _changed(args)
    by = dialling.proxy(known.proxy)
    through = by and by.readable + (", with name and password" if by.authorization else "")
    if args.json:
        line.tell_json({"addresses": known.addresses, "proxy": through or "", "source": known.source})
        return 0
    for number, each in enumerate(known.addresses):
        line.tell(f"  {'plane at' if number == 0 else 'else at':<{line.NAMES}}{each}")
    line.facts({"proxy": through or "none", "from": known.source or "any address of this device"})
    return 0


def _changed(args: argparse.Namespace) -> Identity:
    """Have it dialled so from now on, as far as it was said; what was not said stays."""
    disk = files.take(args.data)
    try:
        known = identity.load(disk)
        if known is None:
            raise NotFoundError(
                "agent.not_joined", "This device has not joined a plane.", "Have it join one: checkvalve-agent join."
            )
        dialling.proxy(args.proxy)  # what is wrong with it is said before anything is written
        made = dataclasses.replace(
            known,
            addresses=enrol.addresses(args.server) if args.server else known.addresses,
            proxy=known.proxy if args.proxy is None else args.proxy.strip(),
            source=known.source if args.source is None else dialling.source(args.source),
        )
        identity.save(disk, made)
    finally:
        disk.close()
    return made
