# SPDX-License-Identifier: Apache-2.0
"""Who is there: people with local passwords, their sessions in a browser, and the API tokens that act for them.

It sits below `access`, so a scope path and a permission are plain text here. It never hashes: it is given stored forms
of passwords and digests of secrets, made in `crypto`.
"""
