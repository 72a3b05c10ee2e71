# SPDX-License-Identifier: Apache-2.0
"""Where files and secrets of a release are laid out for its containers: on a real device, and in play."""
