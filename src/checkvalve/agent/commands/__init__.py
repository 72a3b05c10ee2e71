# SPDX-License-Identifier: Apache-2.0
"""What can be typed on a device: one file for each group of commands. `main` puts them together."""
