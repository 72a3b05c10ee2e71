# SPDX-License-Identifier: Apache-2.0
"""The way to the plane: `tls` is the real one, `simulated` one of the same behaviour within the process."""
