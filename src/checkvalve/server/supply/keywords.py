# SPDX-License-Identifier: Apache-2.0
"""Which words does the Compose Specification have, and which of them can a release say?

One table a place. An empty sentence takes the word; any other refuses it and is what to write instead. The words are
those of the specification's schema, all of them: what is in no table is no word of compose.
"""

_RESOURCES = "Take it out; `mem_limit`, `cpus`, `cpuset` and `pids_limit` say what a service may use."
_HOST = "Take it out; a container does not share the device's own."
_BUILD = "Build the image, bring it in with `checkvalve image import`, and name it in `image`."
_ONE = "Take it out; a device runs one container of each service."
_NAMES = "Take it out; services on one network reach each other by name, and by `aliases`."
_DNS = "Take it out; a container resolves names as its device does."
_PLANE = "Take it out; a rollout says where a release runs, and how it gets there."
_ATTENDED = "Take it out; nobody sits in front of a container."
_LABELS = "Take it out; labels are taken on services only."
_OPTION = "Take it out."

TOP = {
    "name": "",
    "version": "",
    "services": "",
    "networks": "",
    "volumes": "",
    "x-checkvalve": "",
    "secrets": "",
    "configs": "",
    "include": "Write everything into one file: `docker compose config` prints it.",
    "models": "Take it out; run the model as a service of its own.",
}

CONTAINER = {
    "image": "",
    "command": "",
    "entrypoint": "",
    "environment": "",
    "labels": "",
    "user": "",
    "working_dir": "",
    "hostname": "",
    "init": "",
    "read_only": "",
    "restart": "",
    "stop_grace_period": "",
    "stop_signal": "",
    "healthcheck": "",
    "volumes": "",
    "tmpfs": "",
    "networks": "",
    "ports": "",
    "depends_on": "",
    "cap_drop": "",
    "security_opt": "",
    "expose": "",
    "cap_add": "",
    "configs": "",
    "cpus": "",
    "cpuset": "",
    "deploy": "",
    "devices": "",
    "extra_hosts": "",
    "group_add": "",
    "logging": "",
    "mem_limit": "",
    "mem_reservation": "",
    "network_mode": "",
    "pids_limit": "",
    "privileged": "",
    "profiles": "",
    "secrets": "",
    "shm_size": "",
    "sysctls": "",
    "ulimits": "",
    "x-checkvalve": "",
    "annotations": "Write them into `labels`.",
    "attach": _ATTENDED,
    "blkio_config": _RESOURCES,
    "build": _BUILD,
    "cgroup": _HOST,
    "cgroup_parent": _HOST,
    "container_name": "Take it out; old and new are there at once, and others reach it by its service name.",
    "cpu_count": _RESOURCES,
    "cpu_percent": _RESOURCES,
    "cpu_period": _RESOURCES,
    "cpu_quota": _RESOURCES,
    "cpu_rt_period": _RESOURCES,
    "cpu_rt_runtime": _RESOURCES,
    "cpu_shares": _RESOURCES,
    "credential_spec": "Take it out; devices run Linux containers.",
    "develop": "Take it out; it is for the machine where the image is built.",
    "device_cgroup_rules": "Write each device into `devices`.",
    "dns": _DNS,
    "dns_opt": _DNS,
    "dns_search": _DNS,
    "domainname": "Take it out; `hostname` takes a name with dots.",
    "env_file": "Write the variables into `environment`.",
    "extends": "Write the service out, or share lines with an anchor and `<<`.",
    "external_links": _NAMES,
    "gpus": "Write the devices that it needs into `devices`.",
    "ipc": _HOST,
    "isolation": "Take it out; devices run Linux containers.",
    "label_file": "Write them into `labels`.",
    "links": _NAMES,
    "mac_address": "Write it below the network in `networks` of the service.",
    "mem_swappiness": _RESOURCES,
    "memswap_limit": _RESOURCES,
    "models": "Take it out; run the model as a service of its own.",
    "oom_kill_disable": _RESOURCES,
    "oom_score_adj": _RESOURCES,
    "pid": _HOST,
    "platform": "Take it out; the image that was imported says its platform.",
    "post_start": "Do it in the entrypoint of the image, or in a service of kind oneshot.",
    "pre_stop": "Let the program do it when it gets `stop_signal`.",
    "provider": "Take it out; a service is a container of an image.",
    "pull_policy": "Take it out; a device fetches exactly the image that was imported.",
    "pull_refresh_after": "Take it out; a device fetches exactly the image that was imported.",
    "runtime": "Take it out; the engine's own runtime is used.",
    "scale": _ONE,
    "stdin_open": _ATTENDED,
    "storage_opt": _RESOURCES,
    "tty": _ATTENDED,
    "use_api_socket": "Take it out; a container never commands the engine it runs on.",
    "userns_mode": _HOST,
    "uts": _HOST,
    "volumes_from": "Name the volume in `volumes` of each service that uses it.",
}

HEALTH = {
    "test": "",
    "interval": "",
    "timeout": "",
    "retries": "",
    "start_period": "",
    "disable": "",
    "start_interval": "Take it out; `interval` counts from the start on.",
}

NETWORK = {
    "internal": "",
    "driver": "",
    "driver_opts": "",
    "ipam": "",
    "attachable": "Take it out; only services of the release are on its networks.",
    "enable_ipv4": _OPTION,
    "enable_ipv6": "Take it out; a `subnet` of IPv6 says it.",
    "external": "Take it out; a release brings its own networks. One on the plant's own has `driver: macvlan`.",
    "labels": _LABELS,
    "name": "Take it out; a network goes by its name in this file.",
}

NETWORK_OPTIONS = {"parent": ""}

IPAM = {
    "config": "",
    "driver": "",
    "options": _OPTION,
}

SUBNET = {
    "subnet": "",
    "gateway": "",
    "ip_range": "",
    "aux_addresses": "Take it out; `ip_range` keeps the engine off addresses that others have.",
}

ATTACHMENT = {
    "aliases": "",
    "ipv4_address": "",
    "ipv6_address": "",
    "mac_address": "",
    "driver_opts": _OPTION,
    "gw_priority": _OPTION,
    "interface_name": _OPTION,
    "link_local_ips": "Write `ipv4_address` or `ipv6_address`.",
    "priority": _OPTION,
}

VOLUME = {
    "x-checkvalve": "",
    "driver": "Take it out; a volume is a directory that the engine keeps.",
    "driver_opts": "Take it out; a volume is a directory that the engine keeps.",
    "external": "Take it out; a release brings its own volumes.",
    "labels": _LABELS,
    "name": "Take it out; a volume goes by its name in this file.",
}

MOUNT = {
    "type": "",
    "source": "",
    "target": "",
    "read_only": "",
    "bind": "",
    "consistency": _OPTION,
    "image": "Mount a named volume: `type: volume`.",
    "tmpfs": "",
    "volume": "Take it out; a volume is mounted whole, and filled from the image when it is new.",
}

PORT = {
    "target": "",
    "published": "",
    "host_ip": "",
    "protocol": "",
    "app_protocol": _OPTION,
    "mode": "Take it out; a port is published on the device itself.",
    "name": "Take it out; a comment says what the port is for.",
}

DEPENDENCY = {
    "condition": "",
    "required": "",
    "restart": "Take it out; services restart each for itself.",
}

MOUNT_BIND = {
    "create_host_path": "",
    "propagation": "Take it out; what the device mounts there later stays outside.",
    "recursive": "Take it out; what is mounted below the path comes with it.",
    "selinux": "Take it out; label the path on the device itself.",
}

MOUNT_TMPFS = {"size": "", "mode": ""}

DEVICE = {"source": "", "target": "", "permissions": ""}

PLACED = {"source": "", "target": "", "uid": "", "gid": "", "mode": ""}

LOGGING = {"driver": "", "options": ""}
LOG_OPTIONS = {"max-size": "", "max-file": ""}

ULIMIT = {"soft": "", "hard": ""}

DEPLOY = {
    "resources": "",
    "endpoint_mode": _PLANE,
    "labels": "Write them into `labels` of the service.",
    "mode": _ONE,
    "placement": _PLANE,
    "replicas": _ONE,
    "restart_policy": "Write `restart` of the service.",
    "rollback_config": _PLANE,
    "update_config": _PLANE,
}
RESOURCES = {"limits": "", "reservations": ""}
LIMITS = {"cpus": "", "memory": "", "pids": ""}
RESERVATIONS = {
    "memory": "",
    "cpus": "Take it out; an engine keeps no processor free. Bound the other services with `cpus`.",
    "devices": "Write the device into `devices` of the service.",
    "generic_resources": "Write the device into `devices` of the service.",
}

X_TOP = {
    "version": "",
    "soak": "",
    "start_grace": "",
    "max_restarts": "",
    "variables": "",
    "files": "",
    "secrets": "",
    "allow": "",
    "host_paths": "",
}
X_VARIABLE = {
    "kind": "",
    "type": "",
    "default": "",
    "pattern": "",
    "choices": "",
    "help": "",
    "required": "Take it out; a variable without `default` needs a value on every device.",
}
X_FILE = {
    "default": "",
    "help": "",
    "content": "Write it as `default: |`, or declare the file in `configs`.",
    "default_file": "Write its text as `default: |`; a release takes no file of the machine that reads it.",
    "file": "Write its text as `default: |`; a release takes no file of the machine that reads it.",
}
X_SECRET = {
    "help": "",
    "default": "Take it out; a secret is set with `checkvalve config set`, and stands in no release.",
}
X_CONTAINER = {"kind": "", "exit": "", "each_switch": "", "rerun_on_rollback": "", "probes": "", "start_grace": ""}
X_VOLUME = {"policy": ""}

_UNFILED = "Take it out; the text of a secret is set with `checkvalve config set`, and stands in no release."

SECRET = {
    "driver": _UNFILED,
    "driver_opts": _UNFILED,
    "environment": _UNFILED,
    "external": _UNFILED,
    "file": _UNFILED,
    "labels": _LABELS,
    "name": "Take it out; a secret goes by its name in this file.",
    "template_driver": _OPTION,
}

_UNREAD = "Write its text as `content: |`; or leave it open, and set it with `checkvalve config set`."

CONFIG = {
    "content": "",
    "environment": _UNREAD,
    "external": _UNREAD,
    "file": _UNREAD,
    "labels": _LABELS,
    "name": "Take it out; a file goes by its name in this file.",
    "template_driver": _OPTION,
}

# capabilities(7).
CAPABILITIES = frozenset(
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH "
    "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN "
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT "
    "SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM".split()
)

# setrlimit(2), as engines name them.
ULIMITS = frozenset(
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
