"""The error tree. A class names what went wrong; the API's error table gives it a status and a shape.

``message`` is for the user and says what to do next where that isn't obvious; ``type`` is the stable
name that some APIs show (Network's ``PortNotFound``); nothing in a message may be a secret.
"""


class StacklingError(Exception):
    """Base of every error that a user may see. ``status`` is the HTTP status that it means by itself."""

    status = 500
    title = "Internal Server Error"

    def __init__(self, message: str, *, type: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.type = type or self.__class__.__name__
        self.details = details


class Invalid(StacklingError):
    """The request is malformed or means something impossible."""

    status, title = 400, "Bad Request"


class Unauthorized(StacklingError):
    """No valid credential."""

    status, title = 401, "Unauthorized"


class Forbidden(StacklingError):
    """The credential is valid and not enough."""

    status, title = 403, "Forbidden"


class QuotaExceeded(Forbidden):
    """A limit of the project is reached (each API has its own status for it)."""


class NotFound(StacklingError):
    """It isn't there, or the caller must not know that it is."""

    status, title = 404, "Not Found"


class MethodNotAllowed(StacklingError):
    """The resource exists and has no such method."""

    status, title = 405, "Method Not Allowed"


class NotAcceptable(StacklingError):
    """A version or media type that isn't served."""

    status, title = 406, "Not Acceptable"


class Conflict(StacklingError):
    """The state of the resource forbids it now."""

    status, title = 409, "Conflict"


class Raced(Conflict):
    """Somebody else changed the resource between our reading and our writing it.

    Nothing is wrong with the request: ``Database.write`` looks again, and what it then finds decides. A user sees this
    only when others go on changing the resource.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, type="Conflict")


class Gone(StacklingError):
    """Retired upstream, answered as upstream answers."""

    status, title = 410, "Gone"


class PreconditionFailed(StacklingError):
    """``If-Match`` named another revision."""

    status, title = 412, "Precondition Failed"


class TooLarge(StacklingError):
    """A body, header or image beyond its limit."""

    status, title = 413, "Request Entity Too Large"


class UnsupportedMediaType(StacklingError):
    """A content type that the call doesn't take."""

    status, title = 415, "Unsupported Media Type"


class RangeNotSatisfiable(StacklingError):
    """A byte range beyond the end."""

    status, title = 416, "Requested Range Not Satisfiable"


class Abandoned(StacklingError):
    """The client went away before its request's turn came: nothing was done, and nobody hears of it."""

    status, title = 499, "Client Closed Request"


class Unavailable(StacklingError):
    """Something that we need doesn't answer; trying again later helps."""

    status, title = 503, "Service Unavailable"


class NotImplementedHere(StacklingError):
    """A call that exists upstream and isn't offered by this cloud."""

    status, title = 501, "Not Implemented"
