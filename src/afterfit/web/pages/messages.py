"""Pages that say something: an error with its fix, and the way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from afterfit.report.page import Text
from afterfit.report.parts import key_values
from afterfit.web.parts import Part, View

WORDS = {
    400: "That cannot be answered",
    401: "A key is needed",
    403: "Not allowed",
    404: "There is nothing here",
    405: "Nothing is changed here",
    421: "Another host was asked for",
    429: "Too many requests",
    500: "A defect of Afterfit",
    503: "It does not answer",
}


@dataclass(frozen=True)
class Problem(View):
    """An error: what is wrong, where, why, and what to do; never a traceback."""

    status: int
    message: str
    where: str = ""
    why: str = ""
    fix: str = ""

    @property
    def title(self) -> str:
        """The kind of error in words."""
        return WORDS.get(self.status, "It did not work")

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that is known."""
        facts = key_values(("Where", self.where), ("Why", self.why), ("Fix", self.fix))
        blocks = (Text(self.message), facts) if facts.items else (Text(self.message),)
        return (Part("problem", f"Error {self.status}", blocks),)


@dataclass(frozen=True)
class Login(View):
    """The form that takes an API key: ``following`` is where it leads, ``problem`` what failed."""

    following: str
    problem: str = ""

    template: ClassVar[str] = "login.html.j2"

    @property
    def title(self) -> str:
        """The heading."""
        return "Log in"
