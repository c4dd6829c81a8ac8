"""What a processor says beforehand of its errors, its patience and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connect_worker.exceptions import FileCreationError, FileRetrievalError
from connect_worker.processing.outcome import Outcome

#: For so long "not yet" is taken for an answer, unless the processor says otherwise.
PATIENCE_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The class attributes of an automation that concern what goes wrong; times in seconds."""

    #: These are transient, whatever they are by themselves.
    retry_on: tuple[type[Exception], ...] = ()
    #: These are permanent: another try won't help.
    give_up_on: tuple[type[Exception], ...] = ()
    #: What is decided when no try is left; None parks the request for a person.
    when_exhausted: Outcome | None = None
    #: How long "not yet" may last, from the visit's first one; None for no limit.
    give_up_after: float | None = PATIENCE_SECONDS
    #: How long a run may be inside `process_request`; None for no limit.
    time_limit: float | None = None

    def gives_up_on(self, error: BaseException) -> bool | None:
        """Whether the error was declared permanent; None when nothing was declared of it.

        The class nearest to the error's own decides; of an error about a usage file that says
        nothing, its cause.
        """
        for kind in type(error).__mro__:
            if kind in self.give_up_on:
                return True
            if kind in self.retry_on:
                return False
        if isinstance(error, (FileCreationError, FileRetrievalError)) and error.__cause__:
            return self.gives_up_on(error.__cause__)
        return None


NO_RULES: Final = Rules()
