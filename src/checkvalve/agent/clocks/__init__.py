# SPDX-License-Identifier: Apache-2.0
"""What time it is for a device: by its own clocks, or by a clock that a test moves."""
