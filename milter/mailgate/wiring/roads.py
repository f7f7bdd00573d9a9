"""An open road: how mail can pass Mailgate by, where that is set, why it matters, what mends it."""

from dataclasses import dataclass

COLUMNS = ("road", "where", "what", "why", "mend")


@dataclass(frozen=True, slots=True)
class Road:
    """One finding; `road` is its name for scripts. A note is no open road, only worth knowing."""

    road: str
    where: str
    what: str
    why: str
    mend: str
    is_note: bool = False
