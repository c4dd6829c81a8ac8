"""Random HTTP requests, from almost right to raw bytes, each made from one seed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from connect_worker.domain.kinds import OBJECT_CLASSES
from connect_worker.domain.states import RequestKind
from connect_worker.operations.actions import ACTIONS
from connect_worker.operations.requests import STATE_WORDS
from connect_worker.operations.webserver import MAX_HEADER_BYTES
from tests.support.console_client import ACCOUNT, PASSWORD
from tests.support.webhook_stack import SECRET

OTHER_METHODS = (
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "BREW",
    "get",
    "É",
)
LIST = ("state", "kind", "page", "product", "id", "error", "order")
#: The parameters that a path knows, by server.
PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "console": {
        "/": ("part",),
        "/requests": (*LIST, "part"),
        "/request": ("id", "part"),
        "/confirm": (*LIST, "action", "scope", "request", "back"),
        "/execute": ("token",),
        "/result": ("token",),
        "/pause": ("name", "reason"),
        "/resume": ("name",),
        "/login": ("who", "password", "next"),
        "/logout": (),
        "/healthcheck": (),
        "/static/console.css": ("v",),
        "/static/%2e%2e/pages.py": (),
    },
    "receiver": {"/healthcheck": (), **{f"/{name}": () for name in OBJECT_CLASSES.values()}},
    "exporter": {"/metrics": ("name[]",), "/": (), "/healthcheck": ()},
}
FORMS = ("/confirm", "/execute", "/pause", "/resume", "/login", "/logout")
PRODUCT = "PRD-000-000-001"
IDS = tuple(f"PR-0000-0000-0000-00{number}" for number in range(5))
#: Values with which a parameter does something.
RIGHT: dict[str, tuple[str, ...]] = {
    "account": (ACCOUNT,),
    "state": STATE_WORDS,
    "kind": ("", *RequestKind),
    "page": ("1", "2"),
    "product": ("", PRODUCT),
    "id": ("", *IDS),
    "error": ("", "error"),
    "order": ("newest", ""),
    "part": ("live", ""),
    "action": tuple(ACTIONS),
    "scope": ("selected", "all"),
    "request": tuple(f"fulfillment:{name}" for name in IDS),
    "back": ("/requests?state=parked",),
    "name": ("all", "fulfillment", PRODUCT),
    "password": (PASSWORD,),
}
#: What a page must not pass on as it is.
MARKUP = "<script>canary(1)</script>"
INJECTED = "X-Injected"
ODD = (
    *("", " ", "0", "-1", "1e999", "NaN", "null", "true", "१२३", "²", "9" * 40, "9" * 4301),
    *("\ud800", "a\udfffb", "\x00", "\x1b[2J", "\r\n", "é" * 50, "🦊" * 50, "\u202e", "﷽" * 20),
    *("../../../etc/passwd", "//elsewhere.example", "/\\elsewhere.example", "file:///etc/passwd"),
    *(
        "SU-" * 3000,
        "-" * 5000,
        "[" * 4000,
        '{"a":' * 1500,
        "PR-" + "1" * 3000,
        "x" * 60_000,
        "%" * 50,
        "{{1}}",
    ),
    *(MARKUP, f"\r\n{INJECTED}: 1", f"a\n{INJECTED}: 1", "'\"><img src=x>", "${jndi:x}", "*)(|"),
)
HEADER_NAMES = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Origin", "Referer", "Range"),
    *("X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Proto", "If-None-Match", "If-Modified-Since"),
    *(
        "Sec-Fetch-Site",
        "Upgrade",
        "X-XSRFToken",
        "Content-Encoding",
        "Authorization",
        "X",
        "User-Agent",
    ),
)
HEADER_VALUES = (
    *(
        "*/*",
        "gzip",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ),
    *("multipart/form-data; boundary=x", "text/plain; charset=none", "null", "same-origin", "none"),
    *(
        "http://localhost",
        "bytes=0-1",
        "bytes=9-1,-,5-",
        "websocket",
        "Mon, 99 Foo 99999 99:99:99 GMT",
    ),
    *(
        "application/openmetrics-text; version=1.0.0; escaping=x; q=",
        "text/plain;version=;q=nan,,;",
        "text/plain;version=x",
    ),
)
#: Complete in themselves, and no HTTP.
FOREIGN = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    b"GET /\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\r\n" * 200,
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 12_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\nHost: [\r\n\r\n",
)
BAD_CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n",
    b"f" * 30 + b"\r\n",
    b"5;x=" + b"y" * 99,
    b"zz\r\n",
)


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser that has signed in sends."""

    cookies: str
    xsrf: str


@dataclass(frozen=True, slots=True)
class FuzzedRequest:
    data: bytes
    #: Whether it is HTTP, and its header not too long, so that an answer has to come.
    is_http: bool


class HttpFuzzer:
    """Makes requests for one server.

    Args:
        seed: The same seed and number make the same request, but for the time in a token and what
            the console has made up.
        sessions: Of the console.
    """

    def __init__(self, server: str, seed: int, sessions: Sequence[Session] = ()) -> None:
        self._server = server
        self._seed = seed
        self._sessions = sessions
        self._random = random.Random(seed)
        self._session: Session | None = None
        #: What the console has asked whom to confirm, and what has been confirmed.
        self._questions: list[tuple[Session, str]] = []
        self._reports: list[tuple[Session, str]] = []

    def request(self, number: int) -> FuzzedRequest:
        """Make the request of this number."""
        self._random = random.Random(f"{self._seed}:{number}")
        self._session = None
        if self._often(0.02):
            return FuzzedRequest(self._random.choice(FOREIGN), is_http=False)
        data = self._request()
        if self._often(0.15):
            return FuzzedRequest(self._mutate(data), is_http=False)
        header, _, _ = data.partition(b"\r\n\r\n")
        return FuzzedRequest(data, is_http=len(header) < MAX_HEADER_BYTES - 4)

    def learn(self, answer: bytes) -> None:
        """Note the question in the answer to the last request, so that a later one confirms it."""
        if self._session and (found := re.search(rb'name="token" value="([^"]+)"', answer)):
            self._questions.append((self._session, found[1].decode()))

    # ---- parts

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _text(self, name: str = "id") -> str:
        """A value for a parameter, most often one that it takes."""
        if self._often(0.7):
            return self._random.choice(RIGHT.get(name, ("anna", IDS[0])))
        if self._often(0.9):
            return self._random.choice(ODD)
        return "".join(chr(self._random.randrange(0x110000)) for _ in range(20))

    def _quoted(self, name: str = "id") -> str:
        if self._often(0.05):
            return "".join(self._random.choices("%0aZé&=;+\u00ff", k=12))
        return quote(self._text(name).encode("utf-8", "surrogatepass"), safe="")

    def _pairs(self, names: Sequence[str]) -> str:
        some = [name for name in names if self._often(0.7)]
        if self._often(0.1):
            some.append(self._random.choice(("account", *RIGHT)))
        pairs = [f"{name}={self._quoted(name)}" for name in some]
        if self._often(0.02):
            pairs += ["a=b"] * 30_000
        return "&".join(pairs)

    def _json(self, depth: int = 0) -> object:
        kind = self._random.randrange(8 if depth < 4 else 5)
        values: list[object] = [None, 5, self._text(), 1.5, self._random.choice((10**400, True))]
        if kind < len(values):
            return values[kind]
        keys = ("id", "object_class", "object", "request", "api_url", "data", self._text())
        picked = self._random.choices(keys, k=3)
        if kind == 5:
            return [self._json(depth + 1) for _ in picked]
        return {key: self._json(depth + 1) for key in picked}

    def _document(self) -> bytes:
        if self._often(0.1):
            opening = self._random.choice(("[", '{"a":', '{"id":"\\ud800","a":['))
            return (opening * self._random.choice((50, 950, 40_000))).encode()
        if self._often(0.1):
            return b'{"id": %s}' % (b"9" * self._random.choice((400, 5000)))
        document = {"id": self._text()} if self._often(0.5) else self._json()
        text = json.dumps(document, ensure_ascii=self._often(0.5))
        return text.encode("utf-8", "surrogatepass")

    def _token(self) -> str:
        """A token of the right secret, most often, and with claims that Connect might not send."""
        now = int(time.time())
        claims: dict[str, object] = {"iat": now, "exp": now + 300, "jti": self._text()}
        for name in self._random.sample(("iat", "exp", "nbf", "jti", "aud", "iss", "sub"), k=3):
            if self._often(0.1):
                odd: tuple[object, ...] = (
                    None,
                    "x",
                    [],
                    {},
                    -1,
                    1e308,
                    10**310,
                    -(10**310),
                    float("inf"),
                    "\ud800",
                )
                claims[name] = self._random.choice((*odd, True, self._text(), now))
        header: dict[str, object] = {"alg": "HS256", "typ": "JWT"}
        if self._often(0.2):
            name = self._random.choice(("alg", "typ", "kid", "crit", "b64", "jwk"))
            header[name] = self._random.choice(("none", "HS512", "RS256", None, [], {}, False, "x"))
        secret = SECRET if self._often(0.9) else "another"
        parts = [_base64(json.dumps(part).encode()) for part in (header, claims)]
        signed = ".".join(parts)
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
        token = f"{signed}.{_base64(signature)}" + "x" * 60_000 * self._often(0.02)
        return token if self._often(0.95) else token[: self._random.randrange(len(token))] + "."

    # ---- requests

    def _request(self) -> bytes:
        path, names = self._random.choice(list(PATHS[self._server].items()))
        takes_form = path in FORMS or (self._server == "receiver" and not path.startswith("/h"))
        method = "POST" if takes_form == self._often(0.9) else "GET"
        if self._often(0.1):
            method = self._random.choice(OTHER_METHODS)
        if path == "/logout" and self._often(0.8):
            path = "/login"
        target = path
        if self._often(0.1):
            odd = ("/", "//", "%00", "%ff", f"/{self._quoted()}", "?", ";x")
            target += self._random.choice(odd)
        headers = {"Host": "localhost" if self._often(0.95) else self._header_value()}
        if self._server == "console":
            self._sign(headers, path)
        body = self._body(headers, path, names) if method == "POST" else b""
        query = "" if method == "POST" and self._often(0.7) else f"?{self._pairs(names)}"
        if path == "/result" and self._reports and self._often(0.5):
            self._session, token = self._random.choice(self._reports)
            headers["Cookie"], query = self._session.cookies, f"?token={token}"
        for name in self._random.choices(HEADER_NAMES, k=self._random.choice((0, 0, 1, 3))):
            headers.setdefault(name, self._header_value())
        headers.update(self._length(body, is_sent=method == "POST"))
        if headers.get("Transfer-Encoding"):
            body = self._random.choice(BAD_CHUNKS)
        lines = [f"{method} {target}{query} HTTP/1.1"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        lines += ["Connection: close", "", ""]
        return "\r\n".join(lines).encode("utf-8") + body

    def _sign(self, headers: dict[str, str], path: str) -> None:
        """Choose a session, most often, and send its cookies."""
        if self._often(0.8):
            self._session = self._random.choice(self._sessions)
            if path == "/execute" and self._questions:
                self._session, _ = self._questions[-1]
            headers["Cookie"] = self._session.cookies
        elif self._often(0.3):
            headers["Cookie"] = f"{self._header_value()}={self._header_value()}; a=b; ;=;"

    def _body(self, headers: dict[str, str], path: str, names: Sequence[str]) -> bytes:
        """Make a body, and the headers that go with it."""
        if self._server == "receiver":
            headers["Content-Type"] = "application/json"
            headers["Authorization"] = f"Bearer {self._token()}"
            return self._document()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        pairs = [self._pairs(names)]
        if self._session and self._often(0.9):
            pairs.append(f"_xsrf={quote(self._session.xsrf)}")
        if path == "/execute" and self._questions and self._often(0.7):
            self._reports.append(self._questions.pop())
            pairs = [*pairs[1:], f"token={self._reports[-1][1]}"]
        form = "&".join(pairs).encode()
        if self._often(0.1):
            headers["Content-Type"] = "multipart/form-data; boundary=b"
            part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n' % form[:2000]
            return part * self._random.choice((1, 3, 500)) + b"--b--\r\n"
        return form

    def _length(self, body: bytes, *, is_sent: bool) -> dict[str, str]:
        if self._often(0.03):
            return {"Transfer-Encoding": self._random.choice(("chunked", "gzip", "chunked, gzip"))}
        if self._often(0.03):
            # Too large, so that the server does not wait for it, or no number at all.
            odd = ("1" + "0" * 9, "9" * 5000, "-1", "x", "0x5", "1, 1", "5, 6", "²", "+3", "1_0")
            return {"Content-Length": self._random.choice(odd)}
        if self._often(0.05):
            return {"Content-Length": str(len(body)), "Expect": "100-continue"}
        return {"Content-Length": str(len(body))} if is_sent or body else {}

    def _header_value(self) -> str:
        """A value without line breaks, which would be another header."""
        if self._often(0.6):
            return self._random.choice(HEADER_VALUES)
        text = self._text().encode("utf-8", "replace").decode()
        return "".join(c for c in text if c.isprintable())[:3000].strip()

    def _mutate(self, data: bytes) -> bytes:
        found = bytearray(data)
        for _ in range(self._random.choice((1, 2, 8))):
            at = self._random.randrange(len(found) + 1)
            length = self._random.choice((1, 4, 40))
            match self._random.randrange(6):
                case 0:
                    found[at : at + length] = self._random.randbytes(length)
                case 1:
                    del found[at : at + length]
                case 2:
                    found[at:at] = found[at : at + length] * self._random.choice((1, 50))
                case 3:
                    found[at:at] = self._random.choice((b"\r\n", b"\n", b"\x00", b" ", b"\r\n\r\n"))
                case 4:
                    del found[at:]
                case _:
                    found = bytearray(bytes(found).replace(b"\r\n", b"\n", 3))
        return bytes(found)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
