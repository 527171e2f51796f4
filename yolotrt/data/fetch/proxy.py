"""Which proxy a request goes through, so that a refusal is laid at the right door."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment.

    Attributes:
        variable: Environment variable that names it.
        address: Its host and port, without user and password.
    """

    variable: str
    address: str


def proxy_of(url: str) -> Proxy | None:
    """Return the proxy that requests for a URL go through, or None if they go directly."""
    proxies = getproxies_environment()
    try:
        parts = urlsplit(url)
        if proxy_bypass(parts.netloc):
            return None
        for scheme in (parts.scheme, "all"):
            if scheme in ("http", "https", "all") and (found := proxies.get(scheme)):
                # The standard library, which httpx asks, prefers the name in small letters.
                names = (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
                variable = next(name for name in names if os.environ.get(name))
                address = urlsplit(found if "://" in found else f"http://{found}").netloc
                return Proxy(variable, address.rpartition("@")[2])
    except (ValueError, StopIteration):  # no URL, or a spelling such as Http_Proxy
        return None
    return None
