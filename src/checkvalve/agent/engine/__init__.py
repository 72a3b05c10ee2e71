# SPDX-License-Identifier: Apache-2.0
"""What runs containers: a Docker engine (or Podman, which answers the same API), or a simulated one."""
