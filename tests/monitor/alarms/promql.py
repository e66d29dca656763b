"""As much of PromQL's grammar as our rules use: it refuses what does not parse."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w])|(?P<string>\"[^\"]*\")"
    r"|(?P<range>\[\d+[smhd]\])|(?P<time>\d+[smhd]\b)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<op>=~|!=|>=|<=|==|[-+*/()<>{},=]))"
)
FUNCTIONS = {"rate", "increase", "histogram_quantile", "vector"}
AGGREGATIONS = {"sum", "max", "min", "avg"}
OPERATORS = {"+", "-", "*", "/", ">", "<", ">=", "<=", "==", "!=", "and", "or"}
Used = list[tuple[str, set[str]]]


def names_and_labels(expression: str) -> Used:
    """Return each metric with the labels that are asked of it; raises ValueError."""
    parser = _Parser(expression)
    parser.expression()
    if parser.rest:
        raise parser.wrong()
    return parser.used


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.used = text, list[tuple[str, set[str]]]()
        self.rest: list[tuple[str, str]] = []
        place = 0
        while place < len(text.rstrip()):
            found = TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise self.wrong()
            self.rest.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def wrong(self) -> ValueError:
        return ValueError(f"no expression: {self.text}")

    def next(self, kind: str = "", text: str = "") -> str:
        if not self.rest or kind not in ("", self.rest[0][0]) or text not in ("", self.rest[0][1]):
            raise self.wrong()
        return self.rest.pop(0)[1]

    def at(self, *texts: str) -> bool:
        return bool(self.rest) and self.rest[0][1] in texts

    def expression(self) -> None:
        self.operand()
        while self.at(*OPERATORS):
            self.next()
            self.operand()

    def operand(self) -> None:
        if self.at("("):
            self.inside()
        elif self.rest and self.rest[0][0] == "number":
            self.next()
        else:
            self.named(self.next("word"))

    def inside(self) -> None:
        self.next(text="(")
        self.expression()
        while self.at(","):
            self.next()
            self.expression()
        self.next(text=")")

    def named(self, word: str) -> None:
        if word in AGGREGATIONS:
            labels = self.grouping() if self.at("by") else set()
            before = len(self.used)
            self.inside()
            for each in self.used[before:]:
                each[1].update(labels)
        elif self.at("("):
            if word not in FUNCTIONS:
                raise self.wrong()
            self.inside()
        else:
            self.selector(word)

    def grouping(self) -> set[str]:
        self.next(text="by")
        self.next(text="(")
        labels = {self.next("word")}
        while self.at(","):
            self.next()
            labels.add(self.next("word"))
        self.next(text=")")
        return labels

    def selector(self, name: str) -> None:
        labels: set[str] = set()
        if self.at("{"):
            self.next()
            while not self.at("}"):
                labels.add(self.next("word"))
                if self.next("op") not in ("=", "=~", "!="):
                    raise self.wrong()
                self.next("string")
                if self.at(","):
                    self.next()
            self.next()
        if self.rest and self.rest[0][0] == "range":
            self.next()
        if self.at("offset"):  # of a selector alone, never of what a function makes of it
            self.next()
            self.next("time")
        self.used.append((name, labels))
