# SPDX-License-Identifier: Apache-2.0
"""A rollout says which release goes to which devices, under whose approval: it is drafted, proposed, approved, started.

Starting one here reaches no device: this room keeps what was intended, who approved it and when it began. There are no
waves, no orders and no receipts in it. Its release is one that people signed, and that may still be taken.
"""
