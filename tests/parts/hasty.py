# SPDX-License-Identifier: Apache-2.0
"""A plane in a hurry: `python -m tests.parts.hasty WORDS...` is `checkvalve WORDS...`, and its devices' time is short.

Devices that are not always online report each second, and their certificates are good for some seconds: what takes a
month elsewhere is seen here before lunch. The rules are the plane's own; only the numbers are others.
"""

import sys
from datetime import timedelta

from checkvalve.main import main
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.exchange import joining
from checkvalve.server.fleet import model

PROGRAM = (sys.executable, "-m", "tests.parts.hasty")
LIFETIME = timedelta(seconds=9)

if __name__ == "__main__":
    model.LIFETIMES[LinkClass.ASYNC] = LIFETIME
    model.INTERVALS[LinkClass.ASYNC] = 1
    joining._BACKDATED = timedelta(0)
    main()
