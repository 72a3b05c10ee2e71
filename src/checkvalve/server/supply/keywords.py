# SPDX-License-Identifier: Apache-2.0
"""Which words does the Compose Specification have, and which of them can a release say?

One table a place. An empty sentence takes the word; any other refuses it and is what to write instead. The words are
those of the specification's schema, all of them: what is in no table is no word of compose.
"""

_RESOURCES = "Take it out; a container has what its device has."
_HOST = "Take it out; a container does not share the device's own."
_VALUES = "Write what it holds into `environment`, or into the image."
_BUILD = "Build the image, bring it in with `checkvalve image import`, and name it in `image`."
_ONE = "Take it out; a device runs one container of each service."
_NAME = "Take it out; other services reach it by its service name."
_NAMES = "Take it out; services on one network reach each other by name, and by `aliases`."
_DNS = "Take it out; a container resolves names as its device does."
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
    "include": "Write everything into one file: `docker compose config` prints it.",
    "models": "Take it out; run the model as a service of its own.",
    "secrets": "Take it out; a release holds no secrets. Let the program read its own from a volume.",
    "configs": _VALUES,
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
    "x-checkvalve": "",
    "annotations": "Write them into `labels`.",
    "attach": _ATTENDED,
    "blkio_config": _RESOURCES,
    "build": _BUILD,
    "cap_add": "Take it out; a container gets no capability beyond the engine's own set. Drop others with `cap_drop`.",
    "cgroup": _HOST,
    "cgroup_parent": _HOST,
    "configs": _VALUES,
    "container_name": _NAME,
    "cpu_count": _RESOURCES,
    "cpu_percent": _RESOURCES,
    "cpu_period": _RESOURCES,
    "cpu_quota": _RESOURCES,
    "cpu_rt_period": _RESOURCES,
    "cpu_rt_runtime": _RESOURCES,
    "cpu_shares": _RESOURCES,
    "cpus": _RESOURCES,
    "cpuset": _RESOURCES,
    "credential_spec": "Take it out; devices run Linux containers.",
    "deploy": "Take it out; a rollout says where a release runs, and a device runs one container of each service.",
    "develop": "Take it out; it is for the machine where the image is built.",
    "device_cgroup_rules": "Take it out; a container gets no devices of the host.",
    "devices": "Take it out; a container gets no devices of the host. Reach the equipment over the network.",
    "dns": _DNS,
    "dns_opt": _DNS,
    "dns_search": _DNS,
    "domainname": "Take it out; `hostname` takes a name with dots.",
    "env_file": "Write the variables into `environment`.",
    "extends": "Write the service out, or share lines with an anchor and `<<`.",
    "external_links": _NAMES,
    "extra_hosts": "Take it out; name the other side in `environment` by its address.",
    "gpus": "Take it out; a container gets no devices of the host.",
    "group_add": "Take it out; write the one group into `user`, as user:group.",
    "ipc": _HOST,
    "isolation": "Take it out; devices run Linux containers.",
    "label_file": "Write them into `labels`.",
    "links": _NAMES,
    "logging": "Take it out; the device keeps what a container prints as its engine is set up to.",
    "mac_address": _OPTION,
    "mem_limit": _RESOURCES,
    "mem_reservation": _RESOURCES,
    "mem_swappiness": _RESOURCES,
    "memswap_limit": _RESOURCES,
    "models": "Take it out; run the model as a service of its own.",
    "network_mode": "Name networks in `networks`, and publish what must be reached from outside in `ports`.",
    "oom_kill_disable": _RESOURCES,
    "oom_score_adj": _RESOURCES,
    "pid": _HOST,
    "pids_limit": _RESOURCES,
    "platform": "Take it out; the image that was imported says its platform.",
    "post_start": "Do it in the entrypoint of the image, or in a service of kind oneshot.",
    "pre_stop": "Let the program do it when it gets `stop_signal`.",
    "privileged": "Take it out; a container never gets all rights over its device.",
    "profiles": "Take it out; make a release of its own for what does not run everywhere.",
    "provider": "Take it out; a service is a container of an image.",
    "pull_policy": "Take it out; a device fetches exactly the image that was imported.",
    "pull_refresh_after": "Take it out; a device fetches exactly the image that was imported.",
    "runtime": "Take it out; the engine's own runtime is used.",
    "scale": _ONE,
    "secrets": "Take it out; a release holds no secrets. Let the program read its own from a volume.",
    "shm_size": _RESOURCES,
    "stdin_open": _ATTENDED,
    "storage_opt": _RESOURCES,
    "sysctls": "Take it out; set what the kernel needs on the device itself.",
    "tty": _ATTENDED,
    "ulimits": _RESOURCES,
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
    "attachable": "Take it out; only services of the release are on its networks.",
    "driver_opts": _OPTION,
    "enable_ipv4": _OPTION,
    "enable_ipv6": _OPTION,
    "external": "Take it out; a release brings its own networks.",
    "ipam": "Take it out; the engine gives the addresses, and services reach each other by name.",
    "labels": _LABELS,
    "name": "Take it out; a network goes by its name in this file.",
}

ATTACHMENT = {
    "aliases": "",
    "driver_opts": _OPTION,
    "gw_priority": _OPTION,
    "interface_name": _OPTION,
    "ipv4_address": _NAMES,
    "ipv6_address": _NAMES,
    "link_local_ips": _NAMES,
    "mac_address": _OPTION,
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
    "bind": "Mount a named volume: `type: volume`.",
    "consistency": _OPTION,
    "image": "Mount a named volume: `type: volume`.",
    "tmpfs": "Write the path into `tmpfs` of the service.",
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
    "required": "Take it out; all services of a release run.",
    "restart": "Take it out; services restart each for itself.",
}

X_TOP = {"version": "", "soak": "", "start_grace": "", "max_restarts": ""}
X_CONTAINER = {"kind": "", "exit": "", "each_switch": "", "rerun_on_rollback": "", "probes": "", "start_grace": ""}
X_VOLUME = {"policy": ""}

# capabilities(7).
CAPABILITIES = frozenset(
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH "
    "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN "
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT "
    "SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM".split()
)
