# SPDX-License-Identifier: Apache-2.0
"""What fills the variables, files and secrets of releases: set at a place, found from a device upwards."""
