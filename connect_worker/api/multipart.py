"""One file as multipart form data, read while it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

_BLOCK_BYTES = 64 * 1024


class MultipartFile:
    """The body of an upload: its length, its type and, block by block, its bytes.

    `requests` would read the whole file for its `files=`; a body that has a length and can be
    iterated is sent as it comes, with a Content-Length. Each iteration starts at the file's
    beginning, so that a connection that could not be made is no loss.

    Args:
        field: The form field's name.
        filename: What the server is told the file's name is.
        file: A binary file that can seek; it is read from its beginning and left open.
    """

    def __init__(self, *, field: str, filename: str, file: IO[bytes]) -> None:
        part = RequestField(field, b"", filename)
        part.make_multipart()
        boundary = choose_boundary()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._file = file
        self._head = f"--{boundary}\r\n{part.render_headers()}".encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self._head) + self._file.seek(0, os.SEEK_END) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            yield block
        yield self._tail
