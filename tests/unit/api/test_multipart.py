"""The body of an upload: one file as form data, never all of it in memory."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message
from io import BytesIO

import pytest

from connect_worker.api.client import MultipartFile
from tests.support.scripted_server import Reply, serving


class Watched(BytesIO):
    """A file that notes how much of it was asked for at once."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0, "all of the file was asked for"
        self.largest = max(self.largest, size)
        return super().read(size)


def body_of(content: bytes, *, filename: str = "usage_file.xlsx") -> MultipartFile:
    return MultipartFile(field="usage_file", filename=filename, file=BytesIO(content))


def parsed(body: MultipartFile) -> Message:
    """The one part, as another library reads it."""
    whole = message_from_bytes(
        f"Content-Type: {body.content_type}\r\n\r\n".encode() + b"".join(body)
    )
    parts = whole.get_payload()
    assert isinstance(parts, list)
    [part] = parts
    assert isinstance(part, Message)
    return part


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\r\n--\r\n", bytes(range(256)) * 1000])
def test_the_file_is_the_one_part_and_the_length_is_reported(content: bytes) -> None:
    body = body_of(content)
    whole = b"".join(body)
    assert len(whole) == len(body)
    head, _, rest = whole.partition(b"\r\n\r\n")
    boundary = head.partition(b"\r\n")[0]
    assert rest == content + b"\r\n" + boundary + b"--\r\n"
    part = parsed(body)
    assert part.get_param("name", header="content-disposition") == "usage_file"
    assert part.get_filename() == "usage_file.xlsx"


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    part = parsed(body_of(b"x", filename='a"\r\nX: y.xlsx'))
    assert part.get_filename() == "a%22%0D%0AX: y.xlsx"
    assert part["X"] is None


def test_a_body_can_be_sent_again() -> None:
    body = body_of(b"x" * 200_000)
    assert b"".join(body) == b"".join(body)


def test_a_file_is_read_block_by_block_while_it_is_sent() -> None:
    file = Watched(b"PK" * 1_000_000)
    file.seek(7)
    with serving(Reply(201, {"id": "UF-1"})) as server:
        server.client().upload("x", field="usage_file", filename="usage_file.xlsx", content=file)
        [call] = server.calls
    assert file.largest <= 64 * 1024
    assert call.headers["Content-Length"] == str(len(call.body))
    assert "Transfer-Encoding" not in call.headers
    assert file.getvalue() in call.body
