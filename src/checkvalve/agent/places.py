# SPDX-License-Identifier: Apache-2.0
"""Where do a slot's files and secrets lie on the device, so that containers can be given them?

`laying` writes them there, and what makes containers binds them; both ask here. A file lies below the device's data
directory and survives a restart of the machine; a secret lies in memory (tmpfs) and does not.
"""

FILES = "files"  # the folder of the data directory
DONE = ".laid"  # written last; what an attempt's folder holds is whole if it is there
FILE, SECRET = ".file", ".secret"  # ends of names, so that none looks like something else of the data directory's


def folder(root: str, attempt: str) -> str:
    """Return the folder of an attempt's files or secrets below their root."""
    return f"{root.rstrip('/')}/{attempt}"


def file(root: str, attempt: str, service: str, name: str) -> str:
    """Return the absolute path of a file of a service; `root` is `DATA/files`."""
    return f"{folder(root, attempt)}/{service}/{name}{FILE}"


def secret(root: str, attempt: str, service: str, name: str) -> str:
    """Return the absolute path of a secret of a service; `root` is the runtime directory, which lies in memory."""
    return f"{folder(root, attempt)}/{service}/{name}{SECRET}"
