# SPDX-License-Identifier: Apache-2.0
"""A device's own directory: `files` has the rules of writing, `calls` reaches the kernel, `simulated` cuts power."""
