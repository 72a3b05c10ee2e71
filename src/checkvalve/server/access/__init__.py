# SPDX-License-Identifier: Apache-2.0
"""Who may do what where: the scope tree, roles, bindings, and the one function that decides."""
