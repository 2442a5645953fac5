"""Secrets in a server's files: hidden where a file is shown, sealed where two of them are compared."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from zkprov.model import jaas
from zkprov.model.config import HIDDEN, is_secret, redacted
from zkprov.model.problems import BadInput

Mask = Callable[[str], str]
"""What stands in a secret's place."""
NOT_SHOWN = "(not shown: it cannot be read)\n"
_SEALED = re.compile(r"\(hidden:[0-9a-f]{32}\)")
_FLAG = re.compile(r"(?m)^(\s*[\"']?-D([^=\s]+)=)(.*)$")
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)[=:]")
_ELEMENT = re.compile(r"(?s)(<([A-Za-z0-9_.:-]+)(?:\s[^<>]*)?>)([^<]*)(?=</)")


class Seal:
    """Gives equal secrets equal words that tell nothing of them, for as long as `key` is known to nobody. Bytes; drawn for one command."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, name: str, text: str) -> str:
        """The file `name` with each secret sealed. Raises `BadInput` for a zoo.cfg that is no properties file: none is found there."""
        return masked(name, text, self._word)

    def _word(self, secret: str) -> str:
        return f"(hidden:{hmac.new(self._key, secret.encode('utf-8', 'surrogateescape'), hashlib.sha256).hexdigest()[:32]})"


def shown(name: str, text: str) -> str:
    """A rendered or live file as it may be printed, sealed or not, secrets hidden."""
    try:
        return unsealed(masked(name, text, lambda _: HIDDEN))
    except BadInput:
        return NOT_SHOWN


def unsealed(text: str) -> str:
    """Sealed text as it may be printed."""
    return _SEALED.sub(HIDDEN, text)


def masked(name: str, text: str, mask: Mask) -> str:
    """The file with `mask` of each secret in its place. Raises `BadInput` for a zoo.cfg or jaas.conf that Java would not read."""
    match name:
        case "zoo.cfg":
            return redacted(text, mask=mask)
        case "jvm_flags":
            return _FLAG.sub(lambda m: f"{m[1]}{mask(m[3])}" if is_secret(m[2]) else m[0], text)
        case "logback.xml":
            elements = _ELEMENT.sub(lambda m: f"{m[1]}{mask(m[3])}" if is_secret(m[2]) and m[3].strip() else m[0], text)
            return "".join(_of_markup(line, mask) for line in elements.splitlines(keepends=True))
        case jaas.NAME:
            return jaas.masked(text, mask)
        case "myid" | "zoo.cfg.dynamic":
            return text
    return _of_unit(text, mask)


def _of_markup(line: str, mask: Mask) -> str:
    """A line with a secret's name and anything that could be its value: `<property name="smtp.password" value="…"/>`."""
    written = line.rstrip("\r\n")
    return mask(written) + line[len(written) :] if "=" in written and is_secret(written) else line


def _of_unit(text: str, mask: Mask) -> str:
    """A secret in a unit ends with its line, wherever its quotes are; a line may go on in the next."""
    out, goes_on = [], False
    for line in text.splitlines(keepends=True):
        written = line.rstrip("\r\n")
        end = line[len(written) :]
        found = None if goes_on else next((m for m in _NAMED.finditer(written) if is_secret(m[1])), None)
        more = written.endswith("\\")
        if goes_on:
            out.append(mask(written) + end)
            goes_on = more
        elif found and written[found.end() :].strip():
            out.append(written[: found.end()] + mask(written[found.end() :]) + end)
            goes_on = more
        else:
            out.append(line)
    return "".join(out)
