# SPDX-License-Identifier: Apache-2.0
"""Whom an organisation buys from, what it asks of them, and what they said: sovereignty as a condition of buying."""
