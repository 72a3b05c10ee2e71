# SPDX-License-Identifier: Apache-2.0
"""What laws, standards and customers ask, and which checks answer it."""
