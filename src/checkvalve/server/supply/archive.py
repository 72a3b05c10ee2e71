# SPDX-License-Identifier: Apache-2.0
"""Which images does this archive hold?

Rules: 1. an OCI layout (`index.json`) counts before a docker archive (`manifest.json`), which then only adds names;
2. an image is its config: the digest of its very bytes; 3. a docker archive has no manifest, so one is made of it, the
same bytes every time; 4. indexes may nest, 4 deep and with 1000 entries in all; 5. what is no image for Linux, or not
whole in the archive, is left out with a word; if no image is left, that is the error; 6. layers from elsewhere, of an
unknown type or packed with something other than gzip or zstd are refused; 7. an image has as many layers as its config
has diff ids; 8. one name leads to one image of a platform. The diff ids are compared with the layers by the caller.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError
from checkvalve.server.blobs.contents import Contents, Item
from checkvalve.server.supply import documents, references
from checkvalve.server.supply.documents import Config, Descriptor, Document, Saved
from checkvalve.server.supply.model import Blob, Found

DEPTH = 4
ENTRIES = 1000
LAYERS = 512
_OCI = "blobs/sha256/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_ANEW = "Make the archive anew, with docker save or skopeo."
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Images:
    """The images of an archive. `texts` are the bytes of their configs and manifests by digest, to be stored."""

    found: tuple[Found, ...]
    texts: Mapping[str, bytes]
    skipped: tuple[str, ...]  # what was left out and why, in a few words each


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Rule 5: a word for it, and the code if nothing else is left. Without a code it is no image at all."""

    word: str
    code: str = ""


def images(contents: Contents) -> Images:
    """Return the images, or raise `InvalidError`.

    Codes: `image.none` (no image in it), `image.manifest`, `image.config`, `image.layers`, `image.platform`,
    `image.name`.
    """
    reading = _Reading(contents)
    if "index.json" in contents.items:  # rule 1
        reading.layout()
        reading.more_names()
    elif "manifest.json" in contents.items:
        reading.saved()
    else:
        raise InvalidError(
            "image.none",
            "The archive holds neither index.json nor manifest.json at its top.",
            "Make it with docker save, or pack an OCI layout from inside its folder: tar -C FOLDER -cf FILE .",
        )
    return reading.result()


class _Reading:
    def __init__(self, contents: Contents) -> None:
        self._items = contents.items
        self._texts = contents.texts
        self._found: dict[str, Found] = {}  # by config
        self._made: dict[str, Found | _LeftOut] = {}  # by manifest
        self._used: dict[str, bytes] = {}
        self._left_out: dict[str, _LeftOut] = {}  # by word
        self._entries = 0

    def result(self) -> Images:
        if not self._found:
            for reason in self._left_out.values():
                if reason.code:
                    raise InvalidError(reason.code, f"The archive holds no image that can run: {reason.word}.", _ANEW)
            raise InvalidError("image.none", "The archive holds no image.", _ANEW)
        led: dict[tuple[str, str], str] = {}
        for found in self._found.values():
            for name in found.names:
                if led.setdefault((name, found.platform), found.config.digest) != found.config.digest:  # rule 8
                    raise InvalidError("image.name", f"Two images of the archive are called {name}.", _ANEW)
        return Images(tuple(self._found.values()), self._used, tuple(self._left_out))

    # ---- an OCI layout

    def layout(self) -> None:
        mark = self._json(self._items.get("oci-layout"), documents.Layout, "oci-layout")
        if not mark.image_layout_version.startswith("1."):
            raise _manifest(f"its OCI layout has version {mark.image_layout_version[:20]!a}, which is unknown")
        index = self._json(self._items["index.json"], Document, "index.json")
        if index.manifests is None:
            raise _manifest("index.json lists no manifests")
        for entry in index.manifests:
            self._entry(entry, (), 1)

    def _entry(self, entry: Descriptor, inherited: tuple[str, ...], depth: int) -> None:
        self._entries += 1
        if self._entries > ENTRIES or depth > DEPTH:  # rule 4
            raise _manifest(f"its indexes nest deeper than {DEPTH} or have more than {ENTRIES} entries")
        called = _short(entry.digest)
        if entry.attests:
            self._leave(_LeftOut(f"{called}: an attestation"))
            return
        if entry.media_type not in documents.MANIFESTS | documents.INDEXES | {""}:
            self._leave(_LeftOut(f"{called}: {entry.media_type[:80]!a}, which is no image"))
            return
        item = self._blob(entry)
        if item is None:  # rule 5
            self._leave(_LeftOut(f"{called}{_for(entry)}: not in the archive", "image.manifest"))
            return
        document = self._json(item, Document, called)
        if entry.media_type and document.media_type and entry.media_type != document.media_type:
            raise _manifest(f"{called} is of another type than its index says")
        names = (*inherited, *self._names(entry.called))
        if document.manifests is not None:
            for inner in document.manifests:
                self._entry(inner, names, depth + 1)
            return
        if item.digest not in self._made:
            self._made[item.digest] = self._image(document, item, called + _for(entry))
        self._add(self._made[item.digest], names)

    def _image(self, document: Document, item: Item, called: str) -> Found | _LeftOut:
        if document.artifact_type or document.config is None or document.layers is None:
            return _LeftOut(f"{called}: an artifact, which is no image")
        if document.config.media_type not in documents.CONFIGS:
            return _LeftOut(f"{called}: {document.config.media_type[:80]!a}, which is no image")
        for layer in document.layers:  # rule 6
            if layer.urls or layer.media_type in documents.FOREIGN:
                raise _layers(f"{called} has a layer that is fetched from elsewhere")
            if layer.media_type not in documents.LAYERS:
                raise _layers(f"{called} has a layer of type {layer.media_type[:80]!a}")
        config = self._blob(document.config)
        layers = [self._blob(layer) for layer in document.layers]
        whole = [layer for layer in layers if layer is not None]
        if config is None or len(whole) != len(layers):
            return _LeftOut(f"{called}: not whole in the archive", "image.layers")
        types = [layer.media_type for layer in document.layers]
        manifest = Blob(item.digest, item.size, document.media_type or documents.MANIFEST)
        return self._whole(called, config, document.config.media_type, list(zip(whole, types, strict=True)), manifest)

    def more_names(self) -> None:
        """Newer engines write both forms; the names then stand in both."""
        if "manifest.json" not in self._items:
            return
        for saved in self._json(self._items["manifest.json"], list[Saved], "manifest.json"):
            item = self._items.get(saved.config)
            if item is not None and item.digest in self._found:
                self._add(self._found[item.digest], self._names(saved.repo_tags or ()))

    # ---- a docker archive

    def saved(self) -> None:
        for saved in self._json(self._items["manifest.json"], list[Saved], "manifest.json"):
            self._entries += 1
            if self._entries > ENTRIES:
                raise _manifest(f"it holds more than {ENTRIES} images")
            config = self._items.get(saved.config)
            if config is None:
                raise _config(f"{saved.config[:100]!a} is not in the archive")
            layers = []
            for path in saved.layers or ():
                if path not in self._items:
                    raise _layers(f"{path[:100]!a} is not in the archive")
                item = self._items[path]
                layers.append((item, documents.TAR + (f"+{item.packing}" if item.packing else "")))
            called = _short(config.digest)
            self._add(self._whole(called, config, documents.CONFIG, layers, None), self._names(saved.repo_tags or ()))

    # ---- either

    def _whole(
        self, called: str, config: Item, config_type: str, layers: list[tuple[Item, str]], manifest: Blob | None
    ) -> Found | _LeftOut:
        """Judge an image whose parts are all there; without a manifest it is given one."""
        said = self._config(config, called)
        if said.os != "linux":
            return _LeftOut(f"{called}: for {said.os[:20]!a}, not for Linux", "image.platform")
        platform = "/".join(filter(None, (said.os, said.architecture, said.variant)))
        diff_ids = said.rootfs.diff_ids or ()
        if not layers or len(layers) > LAYERS or len(layers) != len(diff_ids):  # rule 7
            raise _layers(f"{called} has {len(layers)} layers, and its config names {len(diff_ids)} (1 to {LAYERS})")
        for item, _ in layers:
            if item.packing not in {"", "gzip", "zstd"}:  # rule 6
                raise _layers(f"{called} has a layer packed with {item.packing}; use gzip, zstd or none")
        blobs = tuple(
            Blob(item.digest, item.size, kind, diff) for (item, kind), diff in zip(layers, diff_ids, strict=True)
        )
        made = Blob(config.digest, config.size, config_type)
        for item in (config, *(item for item, _ in layers)):
            if item.digest in self._texts:  # always the config; a layer too if its first name begins with a bracket
                self._used[item.digest] = self._texts[item.digest]
        return Found((), platform, made, manifest or self._manifest(made, blobs), blobs)

    def _config(self, item: Item, called: str) -> Config:
        config = self._json(item, Config, f"the config of {called}", "image.config")
        words = [config.os, config.architecture, *([config.variant] if config.variant else [])]
        if not all(_WORD.fullmatch(word) for word in words):
            raise _config(f"{called} names no platform that is one")
        if config.rootfs.type != "layers":
            raise _config(f"the root file system of {called} is not made of layers")
        if not all(_DIGEST.fullmatch(digest) for digest in config.rootfs.diff_ids or ()):
            raise _config(f"a diff id of {called} is no digest")
        return config

    def _manifest(self, config: Blob, layers: Iterable[Blob]) -> Blob:
        """Make the manifest that a docker archive lacks (rule 3)."""
        data = canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": documents.MANIFEST,
                "config": _descriptor(config),
                "layers": [_descriptor(layer) for layer in layers],
            }
        )
        made = Blob("sha256:" + digests.sha256_hex(data), len(data), documents.MANIFEST)
        self._used[made.digest] = data
        return made

    def _add(self, found: Found | _LeftOut, names: Iterable[str]) -> None:
        if isinstance(found, _LeftOut):
            self._leave(found)
            return
        known = self._found.get(found.config.digest, found)
        self._found[found.config.digest] = replace(known, names=tuple(dict.fromkeys((*known.names, *names))))
        if known is found and found.manifest.digest in self._texts:
            self._used[found.manifest.digest] = self._texts[found.manifest.digest]

    def _leave(self, reason: _LeftOut) -> None:
        self._left_out.setdefault(reason.word, reason)

    def _names(self, said: Iterable[str]) -> list[str]:
        names = []
        for name in said:
            bare = references.tag_only(name)
            try:
                if bare or "@" in name:
                    self._leave(_LeftOut(f"the name {name[:100]!a}: a tag or digest without a name"))
                else:
                    names.append(references.short(name))
            except InvalidError:
                self._leave(_LeftOut(f"the name {name[:100]!a}: no name of an image"))
        return names

    def _blob(self, entry: Descriptor) -> Item | None:
        """Return what a descriptor points to, if the archive holds it; its digest was compared when it was read."""
        if not _DIGEST.fullmatch(entry.digest):
            raise _manifest(f"{entry.digest[:100]!a} is no digest (sha256: and 64 lower-case hex digits)")
        item = self._items.get(_OCI + entry.digest.removeprefix("sha256:"))
        if item is not None and item.size != entry.size:
            raise _manifest(f"{_short(entry.digest)} has {item.size} bytes and is said to have {entry.size}")
        return item

    def _json(self, item: Item | None, kind: type[_T], called: str, code: str = "image.manifest") -> _T:
        data = self._texts.get(item.digest) if item else None
        if data is None:
            raise InvalidError(code, f"In the archive, {called} is missing, too large, or no JSON.", _ANEW)
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidError(code, f"In the archive, {called} is not what it should be: {error}.", _ANEW) from error


def _descriptor(blob: Blob) -> dict[str, canonical.Json]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _short(digest: str) -> str:
    return ascii(digest[:19])[1:-1]


def _for(entry: Descriptor) -> str:
    told = entry.platform
    return f" (for {f'{told.os}/{told.architecture}'[:60]!a})" if told else ""


def _manifest(what: str) -> InvalidError:
    return InvalidError("image.manifest", f"The archive cannot be read as images: {what}.", _ANEW)


def _config(what: str) -> InvalidError:
    return InvalidError("image.config", f"The archive holds an image without a right config: {what}.", _ANEW)


def _layers(what: str) -> InvalidError:
    return InvalidError("image.layers", f"The archive holds an image without right layers: {what}.", _ANEW)
