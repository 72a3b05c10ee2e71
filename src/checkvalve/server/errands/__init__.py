# SPDX-License-Identifier: Apache-2.0
"""Small orders to single devices: logs, restart of a service, support bundle, reboot; and what came of them."""
