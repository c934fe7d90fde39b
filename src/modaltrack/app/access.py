# SPDX-License-Identifier: Apache-2.0
"""Who may use the page: hosts, origins and the token.

A page from elsewhere in the user's browser can send requests to 127.0.0.1, and a name that is rebound to it can read
the answers. So the host has to be this server's, whatever comes with an origin has to come from this page, and whoever
listens on more than the loopback has a token.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from modaltrack.sinks.address import is_loopback

COOKIE = "modaltrack"


class Access:
    """Checks the headers of requests.

    Args:
        host: that the server listens on.
        token: "" where none is needed.
    """

    def __init__(self, host: str, token: str = "") -> None:
        self.host, self.token = host, token

    def refusal(self, headers: Iterable[tuple[str, str]], given: str = "") -> str:
        """Why a request is refused, in one sentence; "" where it is not.

        Args:
            headers: names in lower case.
            given: token in the address.
        """
        found = dict(headers)
        if not self._known_host(found.get("host", "")):
            return "This address is not one of this server's."
        origin = found.get("origin")
        if origin is not None and origin.partition("://")[2] != found.get("host"):
            return "Only the page of this server may do that."
        if found.get("sec-fetch-site") == "cross-site" and found.get("sec-fetch-mode") != "navigate":
            return "Only the page of this server may do that."
        if self.token and not self._right(given) and not self._right(_cookie(found.get("cookie", ""))):
            return "The token is missing or wrong; open the whole address that modaltrack app printed."
        return ""

    def _known_host(self, header: str) -> bool:
        name = header.rpartition(":")[0] if not header.endswith("]") and ":" in header else header
        name = name.strip("[]").lower()
        if is_loopback(name) or name == self.host:
            return True
        if is_loopback(self.host):
            return False
        # listening elsewhere: any address in numbers is no name that could be rebound; names are guarded by the token
        return bool(self.token) or _is_address(name)

    def _right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
