"""The base class of all models.

About the types: an attribute is declared as what the 2019 SDK's documentation says Connect sends;
``| None`` stands where it says that there may be nothing. Connect leaves fields out nevertheless,
above all of objects that are only referred to, and a field that is not in the document reads None
whatever its type. To declare that, each ``request.asset.product.id`` would need three checks.
"""

from __future__ import annotations

import json as json_module
from typing import Any, Self, overload

from connect_worker.exceptions import InvalidDocument
from connect_worker.models._check import require_fit
from connect_worker.models._document import Document, absent, same_as, spelled
from connect_worker.models._schema import ModelSchema, schema_of

__all__ = ["BaseModel", "absent", "same_as", "spelled"]


class BaseModel(Document):
    """Base of all models.

    All arguments are injected as attributes, and so are the fields of a loaded document, those
    that the model does not declare included (a type checker only knows the declared ones; reach
    the others by `getattr`).

    Examples:
        >>> model = BaseModel.deserialize_json({"id": "PR-1", "odd": [1, 2]})
        >>> model.id, model.odd
        ('PR-1', [1, 2])
        >>> model.json
        {'id': 'PR-1', 'odd': [1, 2]}
    """

    #: Globally unique id.
    id: str = absent

    @classmethod
    def deserialize(cls, json_str: str | bytes) -> Any:
        """Make a model of a JSON text, or a list of models where the text holds a list.

        Raises:
            TypeError: The text is no JSON, or its data does not fit (`InvalidDocument`).
        """
        try:
            data = json_module.loads(json_str)
        except ValueError as exc:
            raise InvalidDocument(cls.__name__, {"": f"no JSON: {exc}"}) from exc
        return cls.deserialize_json(data)

    @overload
    @classmethod
    def deserialize_json(cls, json_data: dict[str, Any]) -> Self: ...

    @overload
    @classmethod
    def deserialize_json(cls, json_data: list[Any]) -> list[Self]: ...

    @classmethod
    def deserialize_json(cls, json_data: dict[str, Any] | list[Any]) -> Self | list[Self]:
        """Make a model of a JSON object, or a list of models of a list of objects.

        The models keep the data, and read it when they are asked: leave it alone afterwards.

        Raises:
            TypeError: The data does not fit; the error (`InvalidDocument`) names model and field.
        """
        if isinstance(json_data, list):
            for index, item in enumerate(json_data):
                require_fit(cls, item, f"[{index}]")
            return [cls._from_raw(item) for item in json_data]
        require_fit(cls, json_data)
        return cls._from_raw(json_data)

    @classmethod
    def marshmallow_schema(cls) -> ModelSchema:
        """Give the model's marshmallow Schema, which is made once, of the class's declarations."""
        return schema_of(cls)

    def __repr__(self) -> str:
        # Parameters may hold secrets and personal data: only the id is safe to show.
        return f"<{type(self).__name__} {self.id or ''}".rstrip() + ">"
