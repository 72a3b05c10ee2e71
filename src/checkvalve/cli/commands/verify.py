# SPDX-License-Identifier: Apache-2.0
"""Checks that need no plane and no network: `verify receipt`."""

from typing import Annotated

import msgspec
import typer

from checkvalve.cli import files, output, receipts
from checkvalve.cli.failures import UnverifiedError, UsageError
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.crypto import certificates, envelope, keys

_LARGEST_PEM = 64 * 1024

KeyFile = Annotated[str, typer.Option(metavar="FILE", help="The device's public key (PEM).")]
CertificateFile = Annotated[str, typer.Option(metavar="FILE", help="Or a certificate of it (PEM), which names it too.")]
AuthorityFile = Annotated[
    str, typer.Option(metavar="FILE", help="With --certificate: the plane's authority (PEM) that must have issued it.")
]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "verify", "Check signed files, without a plane and without a network.")
    verb(group, "receipt", "checkvalve verify receipt receipt.json --key pump-3.pub")(receipt)


def receipt(
    run: Invocation,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="As `device receipt --out` saves it; - is standard input.")
    ],
    *,
    key: KeyFile = "",
    certificate: CertificateFile = "",
    authority: AuthorityFile = "",
) -> None:
    """Check that a device signed a receipt, and show what it says. Exit code 5 if not."""
    if bool(key) == bool(certificate):
        raise UsageError(
            "cli.key",
            "Whose signature it must carry is not said, or twice."
            if key
            else "Whose signature it must carry is not said.",
            "Give --key FILE or --certificate FILE, had by another way than the receipt.",
        )
    if authority and not certificate:
        raise UsageError("cli.key", "--authority says nothing about a bare key.", "Give --certificate FILE with it.")
    public, device = (public_key(key), "") if key else _certified(certificate, authority)
    name = "standard input" if file == "-" else file
    found = receipts.check(files.read(file, envelope.LARGEST), public, name)
    if device and found.receipt.device != device:
        raise UnverifiedError(
            "receipt.device",
            f"The receipt speaks of device {found.receipt.device}, and the certificate is of {device}.",
            "Keep both. Either the certificate is the wrong one, or the device spoke for another.",
        )
    tell(run, found)


def tell(run: Invocation, found: receipts.Checked) -> None:
    """Print a receipt that was checked, in the form that was asked for."""
    if run.flags.as_json:
        said = {"digest": found.digest, "key": found.key, "receipt": msgspec.Raw(found.payload)}
        output.json(msgspec.json.encode(said))
    elif run.flags.quiet:
        output.say(found.digest)
    else:
        output.say("The receipt is whole, and signed by this key.")
        receipts.show(found)


def public_key(file: str) -> keys.PublicKey:
    """Return the public key in a PEM file; `UsageError` (`file.*`), `InvalidError` (`key.form`, `key.kind`)."""
    return keys.load_public(files.read(file, _LARGEST_PEM))


def _certified(file: str, authority: str) -> tuple[keys.PublicKey, str]:
    """Return the key of a device's certificate and the device's id."""
    der = certificates.from_pem(files.read(file, _LARGEST_PEM))
    if authority:
        ca = certificates.from_pem(files.read(authority, _LARGEST_PEM))
        if not certificates.issued_by(der, ca):
            raise UnverifiedError(
                "receipt.authority",
                f"The certificate in {file} was not issued by the authority in {authority}.",
                "Compare its pin: checkvalve login shows that of the plane.",
            )
    return certificates.public_key(der), certificates.device_id(der)
