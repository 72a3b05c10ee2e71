# SPDX-License-Identifier: Apache-2.0
"""What does a release run? Each service of its manifest, its data and its gate, as lines that people read."""

import shlex
from collections.abc import Iterable, Iterator

from checkvalve.protocol import reach, rights, workload
from checkvalve.protocol.declared import Placed
from checkvalve.server.supply import durations, sizes
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
    """Return the networks, with what sets them apart: that they lead nowhere else, their subnet, their interface."""
    return [_named(name, one) for name, one in sorted(manifest.networks.items())]


def _named(name: str, network: workload.Network) -> str:
    on = "" if network.driver == "bridge" else texts.say(f"release.network_{network.driver}", parent=network.parent)
    words = [plainly(each) for each in (name, network.subnet, on) if each]
    called = " ".join(words)
    return texts.say("release.network_internal", name=called) if network.internal else called


def rights_of(manifest: workload.Manifest) -> list[Data]:
    """Return what the release may do on a device beyond its containers, the grave first."""
    return [
        {
            "kind": one.kind,
            "label": texts.say(f"right.{one.kind}"),
            "what": plainly(one.what),
            "service": one.service or texts.say("right.any_service"),
            "grave": one.grave,
            "shape": "bad" if one.grave else "done",
            "word": texts.say("right.grave" if one.grave else "right.plain"),
        }
        for one in rights.rights(manifest)
    ]


def open_(manifest: workload.Manifest) -> list[Data]:
    """Return what values fill: variables, files and secrets, with what holds where nobody sets one."""
    must = texts.say("open.must")
    found: list[Data] = [
        _opened(
            one.name,
            one.kind,
            must if one.default is None else plainly(one.default) or texts.say("open.empty"),
            one.help,
        )
        for one in manifest.variables
    ]
    for file in manifest.files:
        size = 0 if file.default is None else len(file.default.encode())
        usual = must if file.default is None else texts.count("open.bytes", size)
        found.append({**_opened(file.name, "file", usual, file.help), "text": plainly(file.default or "")})
    return [*found, *(_opened(one.name, "secret", must, one.help) for one in manifest.secrets)]


def _opened(name: str, kind: str, usual: str, help_: str) -> Data:
    words = texts.say(f"open.kind_{kind}")
    return {"name": name, "kind": kind, "words": words, "usual": usual, "help": plainly(help_), "text": ""}


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
        "facts": [*_life(service), *_health(service), *_reach(service), *_device(service), *_bounds(service)],
        "environment": environment,
        "environment_words": texts.count("service.environment", count) if count else "",
    }


def _life(service: workload.Service) -> Iterator[Data]:
    yield _fact("kind", _kind(service), mono=False)
    for name, words in (("entrypoint", service.entrypoint), ("command", service.command)):
        if words is not None:
            yield _fact(name, [_line(words)])
    if service.after:
        healthy = service.healthy_first
        yield _fact(
            "after",
            [texts.say("service.after_healthy", name=one) if one in healthy else one for one in service.after],
        )
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
    for name, placed in (("files", service.files), ("secrets", service.secrets)):
        if placed:
            yield _fact(name, [_placed(one) for one in placed])
    if service.host_network or service.networks:
        host = [texts.say("service.network_host")] if service.host_network else []
        yield _fact("networks", [*host, *(_network(one) for one in service.networks)])
    if service.extra_hosts:
        yield _fact("extra_hosts", [plainly(f"{name} {at}") for name, at in sorted(service.extra_hosts.items())])


def _placed(one: Placed) -> str:
    values: Data = {"name": one.name, "target": plainly(one.target), "mode": f"{one.mode:04o}"}
    return texts.say("service.placed", **values, uid=one.uid, gid=one.gid)


def _device(service: workload.Service) -> Iterator[Data]:
    """Yield what it has of the device, and how much of it."""
    if service.devices:
        yield _fact("devices", [plainly(f"{one.source}:{one.target}:{one.rights}") for one in service.devices])
    if service.binds:
        binds = [f"{one.source}:{one.target}" + (":ro" if one.read_only else "") for one in service.binds]
        yield _fact("binds", map(plainly, binds))
    if service.sysctls:
        yield _fact("sysctls", [plainly(f"{name}={value}") for name, value in sorted(service.sysctls.items())])
    if service.group_add:
        yield _fact("group_add", [plainly(", ".join(service.group_add))])
    if limits := [*_limits(service.limits), *(f"{n} {one.soft}:{one.hard}" for n, one in service.ulimits.items())]:
        yield _fact("limits", limits, mono=False)
    if service.log != reach.Log():
        yield _fact("log", [_log(service.log)], mono=False)


def _limits(limits: reach.Limits) -> Iterator[str]:
    said = {
        "memory": sizes.shown(limits.memory) if limits.memory else "",
        "reserved": sizes.shown(limits.reserved) if limits.reserved else "",
        "cpus": f"{limits.cpus / 1_000:g}" if limits.cpus else "",
        "cpuset": limits.cpuset,
        "pids": str(limits.pids) if limits.pids else "",
        "shm": sizes.shown(limits.shm) if limits.shm else "",
    }
    for name, value in said.items():
        if value:
            yield texts.say(f"service.limit_{name}", value=plainly(value))


def _log(log: reach.Log) -> str:
    if log.driver in ("journald", "none"):
        return texts.say(f"service.log_{log.driver}")
    return texts.say("service.log_files", driver=log.driver, files=log.files, size=sizes.shown(log.size))


def _port(port: workload.Port) -> str:
    address = plainly(port.address)
    bracketed = f"[{address}]" if ":" in address and not address.startswith("[") else address
    values: Data = {"published": port.published, "target": port.target, "protocol": port.protocol}
    return texts.say("service.port" if address else "service.port_all", address=bracketed, **values)


def _mount(mount: workload.Mount) -> str:
    text = "service.mount_read" if mount.read_only else "service.mount"
    return texts.say(text, volume=mount.volume, target=plainly(mount.target))


def _network(attachment: workload.Attachment) -> str:
    fixed = [each for each in (attachment.ipv4, attachment.ipv6, attachment.mac) if each]
    network = " ".join([attachment.network, *map(plainly, fixed)])
    if not attachment.aliases:
        return network
    return texts.say("service.network_as", network=network, aliases=", ".join(map(plainly, attachment.aliases)))


def _bounds(service: workload.Service) -> Iterator[Data]:
    for name in ("user", "working_dir", "hostname"):
        if value := getattr(service, name):
            yield _fact(name, [plainly(value)])
    bounds = [
        texts.say(f"service.{name}")
        for name in ("read_only", "no_new_privileges", "init", "privileged")
        if getattr(service, name)
    ]
    if service.cap_add:
        bounds.append(texts.say("service.cap_add", caps=plainly(", ".join(service.cap_add))))
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
