# SPDX-License-Identifier: Apache-2.0
"""Devices: how they come in, whether they are let in, what each is to run, what it reported and what it signed."""
