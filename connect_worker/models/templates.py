"""How an activation reads in Connect, and the two answers of a processor that approve a request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connect_worker.models.base import BaseModel, field

# Templates.


class Template(BaseModel):
    """What a customer or reseller is shown.

    Examples:
        >>> Template.deserialize_json({"id": "TL-497-535-242", "name": "Welcome"}).name
        'Welcome'
    """

    #: Its source.
    body: str = field
    name: str = field
    #: Its rendered text.
    representation: str = field

    # Added by the API since the 2019 SDK.
    #: ``asset``, ``tier1`` or ``tier2``.
    scope: str = field
    title: str = field
    #: ``fulfillment`` or ``pending``.
    type: str | None = field


#: What a tile without contents says, as in the 2019 SDK.
DEFAULT_TILE: Final = "Activation succeeded"


class Activation(BaseModel):
    """The activation of a contract or of a tier configuration.

    Examples:
        >>> Activation.deserialize_json({"link": "https://portal.example/activate"}).link
        'https://portal.example/activate'
    """

    date: datetime | None = field
    #: Where the activation's form is.
    link: str | None = field
    message: str = field


@dataclass(frozen=True)
class ActivationTemplateResponse:
    """Approve the request, and show the template with this id.

    Attributes:
        template_id: Id of a template that is defined in the Vendor Portal.

    Examples:
        >>> ActivationTemplateResponse("TL-497-535-242").template_id
        'TL-497-535-242'
    """

    template_id: str


@dataclass(frozen=True)
class ActivationTileResponse:
    """Approve the request, and show a tile with these contents.

    Attributes:
        markdown: The contents, in Markdown; None counts as none.

    Examples:
        >>> ActivationTileResponse("# Welcome!").tile
        '# Welcome!'
    """

    markdown: str | None = ""

    @property
    def tile(self) -> str:
        """What Connect is given: the contents, or `DEFAULT_TILE` where there are none.

        Contents that are a JSON string (a template rendered by an API that quotes it) are unquoted,
        as in the 2019 SDK.
        """
        text = self.markdown or DEFAULT_TILE
        if not text.startswith('"'):
            return text
        try:
            return str(json.loads(text)) or DEFAULT_TILE
        except ValueError:  # Markdown that only begins with a quotation mark
            return text
