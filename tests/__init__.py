# SPDX-License-Identifier: Apache-2.0
"""Tests describe behaviour, with real databases and real processes; what they start is in `tests/parts`."""
