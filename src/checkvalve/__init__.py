# SPDX-License-Identifier: Apache-2.0
"""A check valve lets flow pass one way only; so does this management plane for OT fleets."""

__version__ = "0.1.0"
