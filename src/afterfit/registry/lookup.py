"""From what a person writes to a version, and what to say where there is none."""

from __future__ import annotations

from afterfit.errors import IntegrityError, NotFoundError
from afterfit.registry.names import CHAMPION, Reference, check_name, parse_reference
from afterfit.registry.shelf import AliasFile, VersionFile
from afterfit.registry.storage import Catalog, Shelf
from afterfit.registry.version import Version


class Lookup:
    """Finds versions on a shelf; changes nothing."""

    def __init__(self, shelf: Shelf, catalog: Catalog) -> None:
        self._shelf = shelf
        self._catalog = catalog

    def resolve(self, reference: str) -> Version:
        """Return the version meant; raises UsageError, or NotFoundError listing what there is."""
        wanted = parse_reference(reference)
        alias = self._shelf.alias(wanted.name, wanted.selector or CHAMPION)
        if alias is not None:
            return self._aliased(wanted.name, alias)
        file = self._shelf.version(wanted.name, wanted.number or 0)
        if file is not None:
            return self.version(file)
        versions = self.files(wanted.name)
        if not wanted.selector:
            return self._only(wanted.name, versions)
        return self._by_digest(wanted, versions)

    def files(self, name: str) -> list[VersionFile]:
        """Return the versions of a name, at least one; raises NotFoundError, UsageError."""
        versions = self._catalog.files(check_name(name))
        if not versions:
            known = ", ".join(self._shelf.names())
            raise NotFoundError(
                f"no model is registered as {name!r}",
                where=self._shelf.place(),
                why=f"registered are: {known}" if known else "nothing is registered yet",
                fix=f"afterfit ship MODEL --name {name}",
            )
        return versions

    def numbered(self, name: str, number: int) -> Version:
        """Return the version with that number; raises NotFoundError."""
        return self.resolve(f"{name}@{number}")

    def version(self, file: VersionFile) -> Version:
        """Return a version with its aliases and evidence as they are now."""
        aliases = self._shelf.aliases(file.name)
        return Version(
            name=file.name,
            number=file.number,
            digest=file.digest,
            created=file.created,
            who=file.who,
            aliases=tuple(each.alias for each in aliases if each.number == file.number),
            evidence=self._shelf.evidence(file.name, file.number).records,
        )

    def number_of(self, name: str, alias: str) -> int | None:
        """Return the number that an alias points to, None where it was never moved."""
        found = self._shelf.alias(name, alias)
        return None if found is None else found.number

    def _aliased(self, name: str, alias: AliasFile) -> Version:
        file = self._shelf.version(name, alias.number)
        if file is not None and file.digest == alias.digest:
            return self.version(file)
        raise IntegrityError(
            f"{name}@{alias.alias} points to a version that is not there",
            where=self._shelf.place(name, "aliases", alias.alias),
            why=f"it names number {alias.number} with digest {alias.digest[:16]}…",
            fix="restore registry/ from a copy of the workspace",
        )

    def _only(self, name: str, versions: list[VersionFile]) -> Version:
        if len(versions) == 1:
            return self.version(versions[0])
        raise NotFoundError(
            f"{name} has no {CHAMPION} and {len(versions)} versions: which one?",
            where=self._shelf.place(name),
            why=self._listing(name, versions),
            fix=f"write {name}@{versions[-1].number}, or: afterfit version promote "
            f"{name}@{versions[-1].number}",
        )

    def _by_digest(self, wanted: Reference, versions: list[VersionFile]) -> Version:
        prefix = wanted.prefix
        found = [file for file in versions if prefix and file.digest.startswith(prefix)]
        if len(found) == 1:
            return self.version(found[0])
        if found:
            raise NotFoundError(
                f"{wanted} means {len(found)} versions",
                why=", ".join(f"{file.number} (sha256:{file.digest[:16]}…)" for file in found),
                fix="write more digits of the digest, or the number",
            )
        raise NotFoundError(
            f"{wanted} does not exist",
            where=self._shelf.place(wanted.name),
            why=self._listing(wanted.name, versions),
            fix=f"afterfit version list {wanted.name}",
        )

    def _listing(self, name: str, versions: list[VersionFile]) -> str:
        told = [f"{file.number} (sha256:{file.digest[:12]})" for file in versions[-10:]]
        aliases = [f"{each.alias} → {each.number}" for each in self._shelf.aliases(name)]
        text = "there are: " + ", ".join(told)
        return text + (f"; aliases: {', '.join(aliases)}" if aliases else "; no alias")
