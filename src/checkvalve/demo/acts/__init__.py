# SPDX-License-Identifier: Apache-2.0
"""The acts of the demo, in the order they play. Each takes the stage and returns the facts it measured."""
