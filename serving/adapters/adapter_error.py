"""Why an adapter could not be registered, updated or removed, in words that name no path of the server."""

from enum import StrEnum


class Refusal(StrEnum):
    """What is at fault: the name, what lies there, that it is there already, that it is not, or the server itself."""

    NAME = "name"
    FILES = "files"
    PRESENT = "present"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"


class AdapterError(Exception):
    """An adapter that is not served as it was asked for. The message is fit for whoever asked."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
