# SPDX-License-Identifier: Apache-2.0
"""Asks the permit to change: a file, a command or a line of the host, or what a test says."""
