# SPDX-License-Identifier: Apache-2.0
"""Texts of the pages about values, by name; `texts` puts them beside the others."""

from collections.abc import Mapping

EN: Mapping[str, str] = {
    "rail.values": "Values",
    "values.title": "Values",
    "values.sentence.one": "1 value is set.",
    "values.sentence.many": "{n} values are set.",
    "values.sentence_none": "No value is set.",
    "values.detail": (
        "They fill the variables, files and secrets of releases. The nearest counts: device, area, site, organisation. "
        "A rollout brings a change; nothing changes on a device by itself."
    ),
    "values.none": "Nothing is set here.",
    "values.none_why": (
        "A release may leave variables, files and secrets open. What they are is set below, or with "
        "`checkvalve config set`."
    ),
    "values.none_filter": "Nothing answers to this.",
    "values.name": "Name",
    "values.value": "Value",
    "values.for": "For",
    "values.at": "Set at",
    "values.set_by": "Set",
    "values.by": "by {who}",
    "values.every_release": "every release",
    "values.kind_all": "All",
    "values.kind_variable": "Variables",
    "values.kind_file": "Files",
    "values.kind_secret": "Secrets",
    "values.a_variable": "variable",
    "values.a_file": "file",
    "values.a_secret": "secret",
    "values.secret_shown": "Sealed. Nobody reads it again.",
    "values.lines.one": "1 line",
    "values.lines.many": "{n} lines",
    "values.change": "Change",
    "values.change_what": "Change {name} at {where}",
    "values.unset": "Take away",
    "values.unset_what": "Take {name} away at {where}",
    "values.set": "Set a value",
    "values.change_this": "Change {name}",
    "values.set_do": "Set it",
    "values.place": "Place",
    "values.place_device": "Device {name}",
    "values.line": "For releases named",
    "values.line_hint": "Empty: for every release that declares this name.",
    "values.kind": "Kind",
    "values.name_hint": "As the release declares it.",
    "values.content": "Value",
    "values.content_hint": "A file may have many lines. A variable has one.",
    "values.secret": "Secret",
    "values.secret_hint": "Only for a secret, in the place of the value. It is sealed, and never shown again.",
    "values.note": "Why",
    "values.note_hint": "Stands in the record, as a change reference.",
    "values.history": "What was set, newest first",
    "values.history_none": "Nothing was ever set here.",
    "values.taken_away": "taken away",
    "values.was_set": "set to {value}",
    "values.was_sealed": "sealed anew",
    "values.more": "Older",
    "values.newest": "Newest",
    "values.next": "Then start a rollout: it shows for each device what would change before anything does.",
    "device.values": "Values",
    "device.values_none": "What runs here leaves nothing open.",
    "device.values_from": "From",
    "device.values_default": "the release itself",
    "device.values_missing": "Missing",
    "device.values_runs": "runs with it",
    "device.values_differs": "A rollout brings this; the device runs with something else.",
    "device.values_set": "Set for this device",
}

TOLD: Mapping[str, tuple[str, str]] = {
    "values.set": ("set values at", "set values"),
    "values.deliver": ("gave its values to", "give a device its values"),
    "values.new_key": ("went on with another key for secrets", "go on with another key for secrets"),
}
