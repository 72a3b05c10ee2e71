# SPDX-License-Identifier: Apache-2.0
"""A rollout says which release goes to which devices, under whose approval: it is drafted, proposed, approved, started.

Starting one here reaches no device: this room keeps what was intended, who approved it and when it began. There are no
waves, no orders and no receipts in it, and a release is a text that is checked for its form only.
"""
