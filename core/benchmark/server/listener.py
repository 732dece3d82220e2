"""Which process on this machine listens at an address, so that its memory can be measured."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

_FORWARDERS: Final = frozenset(
    (
        *("ssh", "sshd", "autossh", "docker-proxy", "rootlessport", "slirp4netns", "pasta", "gvproxy", "containerd", "kubectl", "socat"),
        *("nginx", "haproxy", "envoy", "caddy", "traefik", "cloudflared", "ngrok", "tailscaled", "stunnel", "mitmproxy", "mitmdump"),
    )
)
"""Programs that hand connections on: the server is another process, perhaps on another machine."""
_PORTS: Final = {"http": 80, "https": 443}


def listening(url: str) -> int | None:
    """The process that listens at an address of this machine, of several that do the parent of the others.

    None for an address of another machine, for a process of another user, and for a program that only hands connections on.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        if not parts.hostname or not _is_here(parts.hostname):
            return None
        held = {one.pid for one in psutil.net_connections("tcp") if _listens(one, port)}
        oldest = {None if pid is None else _oldest(psutil.Process(pid), port) for pid in held}
        found = oldest.pop() if len(oldest) == 1 else None
        return None if found is None or found.name() in _FORWARDERS else found.pid
    except (OSError, ValueError, psutil.Error):
        return None


def _oldest(process: psutil.Process, port: int) -> psutil.Process:
    """Of a family of processes that share a socket the first: the system names any of them."""
    for parent in process.parents():
        try:
            if not any(_listens(one, port) for one in parent.net_connections("tcp")):
                break
        except psutil.Error:
            break
        process = parent
    return process


def _listens(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port)


def _is_here(host: str) -> bool:
    """Whether a name means this machine alone."""
    own = {address.address.split("%")[0] for addresses in psutil.net_if_addrs().values() for address in addresses}
    found = {str(entry[4][0]).split("%")[0] for entry in socket.getaddrinfo(host, None)}
    return bool(found) and all(address in own or ipaddress.ip_address(address).is_loopback for address in found)
