# SPDX-License-Identifier: Apache-2.0
"""The faces people, programs and devices meet: decode, authorise, one call to a room, encode. No SQL and no rules."""
