# SPDX-License-Identifier: Apache-2.0
"""What does a release run? Each service of its manifest, its data and its gate, as lines that people read."""

import shlex
from collections.abc import Iterable, Iterator

from checkvalve.protocol import workload
from checkvalve.server.supply import durations
from checkvalve.server.web import texts
from checkvalve.server.web.pages.release_view import digits, plainly
from checkvalve.server.web.pages.view import Data


def services(manifest: workload.Manifest) -> list[Data]:
    """Return the services by name."""
    return [_card(name, one, manifest.images[one.image]) for name, one in sorted(manifest.services.items())]


def gate(manifest: workload.Manifest) -> str:
    """Return what a device must see before it keeps the release."""
    wanted = manifest.gate
    none = texts.say("release.gate_restarts_none")
    restarts = texts.count("release.gate_restarts", wanted.max_restarts) if wanted.max_restarts else none
    grace, soak = durations.shown(wanted.start_grace_ms), durations.shown(wanted.soak_ms)
    return texts.say("release.gate_is", grace=grace, soak=soak, restarts=restarts)


def volumes(manifest: workload.Manifest) -> list[Data]:
    """Return the data that outlives a container, and what a rollback does with it."""
    return [
        {"name": name, "policy": one.policy, "words": texts.say(f"release.policy_{one.policy}")}
        for name, one in sorted(manifest.volumes.items())
    ]


def networks(manifest: workload.Manifest) -> list[str]:
    """Return the networks, with those that lead nowhere else marked."""
    return [
        texts.say("release.network_internal", name=name) if one.internal else name
        for name, one in sorted(manifest.networks.items())
    ]


def _card(name: str, service: workload.Service, image: workload.Image) -> Data:
    environment = [
        {"name": plainly(key), "value": plainly(value)} for key, value in sorted(service.environment.items())
    ]
    count = len(environment)
    return {
        "name": name,
        "image": plainly(image.name),
        "config": digits(image.config),
        "platform": plainly(image.platform),
        "facts": [*_life(service), *_health(service), *_reach(service), *_bounds(service)],
        "environment": environment,
        "environment_words": texts.count("service.environment", count) if count else "",
    }


def _life(service: workload.Service) -> Iterator[Data]:
    yield _fact("kind", _kind(service), mono=False)
    for name, words in (("entrypoint", service.entrypoint), ("command", service.command)):
        if words is not None:
            yield _fact(name, [_line(words)])
    if service.after:
        yield _fact("after", [", ".join(service.after)])
    grace = durations.shown(service.stop_grace_ms)
    signal = service.stop_signal
    said = texts.say("service.stop_signal", signal=plainly(signal), grace=grace) if signal else ""
    yield _fact("stop", [said or texts.say("service.stop_grace", grace=grace)], mono=False)


def _kind(service: workload.Service) -> list[str]:
    if service.kind == "service":
        return [texts.say("service.keeps", restart=service.restart)]
    once = texts.say("service.oneshot_each" if service.each_switch else "service.oneshot", exit=service.exit)
    return [once, texts.say("service.oneshot_again")] if service.rerun_on_rollback else [once]


def _health(service: workload.Service) -> Iterator[Data]:
    if service.kind == "service" or service.check is not None:
        yield _fact("check", _check(service.check), mono=service.check is not None and service.check.test != ("NONE",))
    if service.probes:
        yield _fact("probes", [_probe(one) for one in service.probes])
    if service.start_grace_ms is not None:
        yield _fact("grace", [durations.shown(service.start_grace_ms)], mono=False)


def _check(check: workload.Check | None) -> list[str]:
    if check is None:
        return [texts.say("service.check_image")]
    if check.test == ("NONE",):
        return [texts.say("service.check_off")]
    how, *words = check.test
    times = texts.say(
        "service.check_times",
        interval=durations.shown(check.interval_ms),
        timeout=durations.shown(check.timeout_ms),
        retries=check.retries,
        start=durations.shown(check.start_period_ms),
    )
    return [plainly(" ".join(words)) if how == "CMD-SHELL" else _line(words), times]


def _probe(probe: workload.Probe) -> str:
    every, timeout = durations.shown(probe.every_ms), durations.shown(probe.timeout_ms)
    match probe:
        case workload.HttpProbe(port=port, path=path, status=status):
            values: Data = {"port": port, "path": plainly(path), "status": status}
            return texts.say("service.probe_http", **values, every=every, timeout=timeout)
        case workload.TcpProbe(port=port):
            return texts.say("service.probe_tcp", port=port, every=every, timeout=timeout)
        case workload.ExecProbe(command=command):
            return texts.say("service.probe_exec", command=_line(command), every=every, timeout=timeout)


def _reach(service: workload.Service) -> Iterator[Data]:
    if service.ports:
        yield _fact("ports", [_port(one) for one in service.ports])
    if service.mounts:
        yield _fact("mounts", [_mount(one) for one in service.mounts])
    if service.tmpfs:
        yield _fact("tmpfs", map(plainly, service.tmpfs))
    if service.networks:
        yield _fact("networks", [_network(one) for one in service.networks])


def _port(port: workload.Port) -> str:
    address = plainly(port.address)
    bracketed = f"[{address}]" if ":" in address and not address.startswith("[") else address
    values: Data = {"published": port.published, "target": port.target, "protocol": port.protocol}
    return texts.say("service.port" if address else "service.port_all", address=bracketed, **values)


def _mount(mount: workload.Mount) -> str:
    text = "service.mount_read" if mount.read_only else "service.mount"
    return texts.say(text, volume=mount.volume, target=plainly(mount.target))


def _network(attachment: workload.Attachment) -> str:
    if not attachment.aliases:
        return attachment.network
    aliases = ", ".join(map(plainly, attachment.aliases))
    return texts.say("service.network_as", network=attachment.network, aliases=aliases)


def _bounds(service: workload.Service) -> Iterator[Data]:
    for name in ("user", "working_dir", "hostname"):
        if value := getattr(service, name):
            yield _fact(name, [plainly(value)])
    bounds = [
        texts.say(f"service.{name}") for name in ("read_only", "no_new_privileges", "init") if getattr(service, name)
    ]
    if service.cap_drop:
        bounds.append(texts.say("service.cap_drop", caps=plainly(", ".join(service.cap_drop))))
    if bounds:
        yield _fact("bounds", [", ".join(bounds)], mono=False)
    if service.labels:
        yield _fact("labels", [plainly(f"{key}={value}") for key, value in sorted(service.labels.items())])


def _line(words: Iterable[str]) -> str:
    return plainly(shlex.join(words))


def _fact(name: str, lines: Iterable[str], *, mono: bool = True) -> Data:
    return {"name": name, "label": texts.say(f"service.{name}"), "lines": list(lines), "mono": mono}
