"""Usage files: submits a file without invalid records to the provider."""

from __future__ import annotations

from connect_worker.exceptions import DeleteUsageFile, SkipRequest, SubmitUsageFile
from connect_worker.models import UsageFile
from connect_worker.resources import UsageFileAutomation


class UsageReview(UsageFileAutomation):
    """Submits files that are ready; deletes files in which Connect found invalid records."""

    def process_request(self, request: UsageFile) -> None:
        """Decide one usage file."""
        if request.status.lower() != "ready":
            raise SkipRequest(f"Nothing to do for a file that is {request.status}")
        if request.records is not None and request.records.invalid:
            raise DeleteUsageFile(f"{request.records.invalid} records are invalid")
        raise SubmitUsageFile("Ready for the provider")
