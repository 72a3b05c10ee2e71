# SPDX-License-Identifier: Apache-2.0
"""The machine that the device is: starting it anew, really and simulated."""
