"""What a parameter's value must be like."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent, spelled


class ValueChoice(BaseModel):
    """One of the values that a parameter can take.

    Examples:
        >>> purchase().asset.get_param_by_id("plan").value_choices[0].label
        'Basic'
    """

    #: What people see.
    label: str = absent
    value: str = absent


class Constraints(BaseModel):
    """The constraints on a parameter.

    Examples:
        >>> purchase().asset.get_param_by_id("email").constraints.required
        True
    """

    #: The values to choose from; Connect sends objects, or the values alone.
    choices: list[ValueChoice] = spelled(bare="value")
    hidden: bool = absent
    required: bool = absent
    unique: bool = absent

    # Added by the API since the 2019 SDK.
    max_length: int | None = absent
    min_length: int | None = absent
    readonly: bool = absent
    #: Whether it takes part in the reconciliation of usage.
    reconciliation: bool = absent
