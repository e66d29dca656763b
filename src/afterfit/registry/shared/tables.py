"""The tables of a shared registry.

``afterfit_registry_head`` has one row: the end of the audit log. Whoever changes anything locks it
first, so changes have one order. Lines and versions can be added and never be changed.
"""

from __future__ import annotations

__all__ = ["CREATE", "ENDPOINTS", "MADE", "MAKING", "PRUNING"]

MADE = "SELECT to_regclass('afterfit_registry_head') IS NOT NULL"
MAKING = "SELECT pg_advisory_xact_lock(1634104935)"
"""The lock under which the tables are made: any number that others do not use."""
_NEVER = """
CREATE OR REPLACE FUNCTION afterfit_registry_never() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'lines and versions of Afterfit are never changed'; END $$
"""
ENDPOINTS = (
    "CREATE TABLE IF NOT EXISTS afterfit_registry_endpoints (machine text, endpoint text,"
    " digests text NOT NULL, seen double precision NOT NULL, PRIMARY KEY (machine, endpoint))"
)
"""Which digests the servers of a team stand on, and when they said so (s since 1970)."""
PRUNING = (
    (
        "CREATE TABLE IF NOT EXISTS afterfit_registry_pruning (one boolean PRIMARY KEY"
        " DEFAULT true CHECK (one), turn bigint NOT NULL, owner text NOT NULL)"
    ),
    ("INSERT INTO afterfit_registry_pruning (turn, owner) VALUES (0, '') ON CONFLICT DO NOTHING"),
    (
        "CREATE INDEX IF NOT EXISTS afterfit_registry_log_gone ON afterfit_registry_log (seq)"
        " WHERE action IN ('prune', 'restore')"
    ),
)
"""``turn`` counts what begins and ends; ``owner`` is who takes bytes away now, empty for nobody."""
CREATE = (
    (
        "CREATE TABLE afterfit_registry_log (seq bigint PRIMARY KEY, name text NOT NULL,"
        " action text NOT NULL, line text NOT NULL)"
    ),
    "CREATE INDEX afterfit_registry_log_name ON afterfit_registry_log (name, seq)",
    (
        "CREATE TABLE afterfit_registry_versions (name text, number integer, digest text NOT NULL,"
        " created text NOT NULL, who text NOT NULL, seq bigint NOT NULL"
        " REFERENCES afterfit_registry_log, PRIMARY KEY (name, number), UNIQUE (name, digest))"
    ),
    (
        "CREATE TABLE afterfit_registry_evidence (name text, number integer, seq bigint NOT NULL,"
        " records text NOT NULL, PRIMARY KEY (name, number),"
        " FOREIGN KEY (name, number) REFERENCES afterfit_registry_versions)"
    ),
    (
        "CREATE TABLE afterfit_registry_aliases (name text, alias text, number integer NOT NULL,"
        " digest text NOT NULL, seq bigint NOT NULL, PRIMARY KEY (name, alias),"
        " FOREIGN KEY (name, number) REFERENCES afterfit_registry_versions)"
    ),
    _NEVER,
    (
        "CREATE TRIGGER afterfit_never BEFORE UPDATE OR DELETE ON afterfit_registry_log"
        " FOR EACH ROW EXECUTE FUNCTION afterfit_registry_never()"
    ),
    (
        "CREATE TRIGGER afterfit_never BEFORE UPDATE OR DELETE ON afterfit_registry_versions"
        " FOR EACH ROW EXECUTE FUNCTION afterfit_registry_never()"
    ),
    (
        "CREATE TABLE afterfit_registry_head (one boolean PRIMARY KEY DEFAULT true CHECK (one),"
        " schema integer NOT NULL, seq bigint NOT NULL, hash text NOT NULL)"
    ),
    "COMMENT ON TABLE afterfit_registry_head IS 'The registry of Afterfit, schema 1'",
    "INSERT INTO afterfit_registry_head (schema, seq, hash) VALUES (1, 0, repeat('0', 64))",
    ENDPOINTS,
    *PRUNING,
)
