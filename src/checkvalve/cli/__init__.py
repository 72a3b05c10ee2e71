# SPDX-License-Identifier: Apache-2.0
"""The command line for people and scripts: it knows the API of a plane, and no rule of it."""
