# SPDX-License-Identifier: Apache-2.0
"""What changes something, by hand and at the device: `back`, `hold`, `release-hold`, `window`.

They need the running agent, and not the plane: it writes each of them into its journal, with who asked for it, before
it does it.
"""

import argparse
from typing import Any

from checkvalve.agent.cabinet import asked, asking
from checkvalve.agent.commands import line
from checkvalve.errors import InvalidError


def add(command: line.Add) -> None:
    """Declare them."""
    back = command("back", _back, "Go back to the release that ran before.", "checkvalve-agent back --dry-run")
    back.add_argument("--dry-run", action="store_true", help="only say to which")
    back.add_argument("--yes", action="store_true", help="do not ask")
    hold = command(
        "hold",
        _hold,
        "Hang a lock-out tag: nothing is switched while it hangs.",
        'checkvalve-agent hold --reason "pump seal is open" --number 4711',
    )
    hold.add_argument("--reason", required=True, help="why, for whoever reads it")
    hold.add_argument("--number", default="", help="of the permit to work")
    hold.add_argument("--name", default="", help="whose tag it is (default: who you are signed in as)")
    lift = command(
        "release-hold", _lift, "Lift a tag that was hung at this device.", "checkvalve-agent release-hold 06ey..."
    )
    lift.add_argument("id", nargs="?", default="", help="which (default: the only one); `status` shows them")
    lift.add_argument("--all", action="store_true", help="every one that was hung here, and a damaged file of them")
    lift.add_argument("--yes", action="store_true", help="do not ask")
    window = command(
        "window",
        _window,
        "Let switches begin for some time, where the policy asks for it.",
        "checkvalve-agent window open 45m",
    )
    window.add_argument("what", choices=("open", "close"))
    window.add_argument("span", nargs="?", default="", help="for how long: 45m, 2h; at most 8 hours")
    for each in (back, hold, lift, window):
        line.cabinet(each)


def _ask(args: argparse.Namespace, request: asked.Asked) -> Any:  # noqa: ANN401  # JSON
    return asking.ask(line.socket_of(args), request)


def _back(args: argparse.Namespace) -> int:
    data = line.data_of(args)
    to = _ask(args, asked.Back(data=data, dry=True))
    named = f"{to['name']} {to['version']} ({to['release'][:19]})"
    if not args.dry_run:
        if not line.sure(args, f"Go back to {named}? Containers are switched, and what fails comes back."):
            line.aside("Nothing was done.")
            return 1
        to = _ask(args, asked.Back(data=data))
    if args.json:
        line.tell_json(to)
    elif args.dry_run:
        line.tell(f"It would go back to {named}, which is on this device.")
    else:
        line.tell(f"Going back to {named}: attempt {to['attempt']}.")
        line.tell("  next          checkvalve-agent status --watch")
    return 0


def _hold(args: argparse.Namespace) -> int:
    tag = _ask(args, asked.Hang(data=line.data_of(args), reason=args.reason, number=args.number, name=args.name))
    if args.json:
        line.tell_json(tag)
    else:
        line.tell(f"Held: {tag['reason']}. Nothing is switched until this tag is lifted, at this device.")
        line.tell(f"  lift it       checkvalve-agent release-hold {tag['id']}")
    return 0


def _lift(args: argparse.Namespace) -> int:
    if args.all and args.id:
        raise InvalidError("cabinet.both", "An id and --all were given.", "Give one of them.")
    if args.all and not line.sure(args, "Lift every tag that was hung at this device?"):
        line.aside("Nothing was done.")
        return 1
    tags = _ask(args, asked.Lift(data=line.data_of(args), id=args.id, all=args.all))
    if args.json:
        line.tell_json(tags)
    for tag in () if args.json else tags:
        line.tell(f"Lifted the tag of {tag['name']}: {tag['reason']}.")
    return 0


def _window(args: argparse.Namespace) -> int:
    data = line.data_of(args)
    if args.what == "close":
        if args.span:
            raise InvalidError("cabinet.span", "A window is closed now, and not for some time.", "Leave the time out.")
        said = _ask(args, asked.Close(data=data))
    else:
        minutes = -(-line.span(args.span, "window open") // 60)
        if minutes > asked.LONGEST_WINDOW:
            raise InvalidError("cabinet.span", f"{args.span} is too long.", "A window is open for at most 8 hours.")
        said = _ask(args, asked.Open(data=data, minutes=minutes))
    if args.json:
        line.tell_json(said)
    elif said["seconds"]:
        line.tell(f"The window is open for {said['seconds'] // 60} minutes. Restarting the machine closes it.")
    else:
        line.tell("The window is closed.")
    return 0
