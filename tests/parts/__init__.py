# SPDX-License-Identifier: Apache-2.0
"""Real parts that tests start by themselves on loopback, and what happens where one is missing."""
