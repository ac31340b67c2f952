"""Roles, tables, policies and views of the authority matrix, and what is asked about them."""

USERS = ("alice", "bob", "boss", "postgres")
ROLES = ("alice", "bob", "boss", "team", "auditor", "nobody")
TABLES = ("docs", "tenants", "plain", "secret")
VIEWS = ("v_docs", "v_docs_invoker", "v_tenants_invoker", "v_nested", "v_plain")

SETUP = """
CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE boss LOGIN NOINHERIT;
CREATE ROLE team; CREATE ROLE auditor BYPASSRLS; CREATE ROLE nobody;
GRANT team TO alice; GRANT alice, bob, auditor TO boss;

CREATE TABLE docs (id int PRIMARY KEY, owner text, body text);
INSERT INTO docs
  SELECT i, (ARRAY['alice', 'bob', 'boss', 'team', 'postgres'])[i % 5 + 1], 'doc ' || i
  FROM generate_series(1, 20) i;
ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON docs USING (owner = current_user);

CREATE TABLE tenants (id int PRIMARY KEY, owner text, body text);
INSERT INTO tenants SELECT i, (ARRAY['red', 'green', 'blue'])[i % 3 + 1], 'row ' || i
  FROM generate_series(1, 20) i;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (owner = current_setting('app.tenant', true));

CREATE TABLE plain (id int PRIMARY KEY, owner text, body text);
INSERT INTO plain SELECT i, 'everybody', 'plain ' || i FROM generate_series(1, 10) i;
CREATE TABLE secret (id int PRIMARY KEY, owner text, body text);
INSERT INTO secret SELECT i, 'postgres', 'secret ' || i FROM generate_series(1, 10) i;

CREATE VIEW v_docs AS SELECT id, owner, body FROM docs;
CREATE VIEW v_docs_invoker WITH (security_invoker = true) AS SELECT id, owner, body FROM docs;
CREATE VIEW v_tenants_invoker WITH (security_invoker = true) AS SELECT id, owner, body FROM tenants;
CREATE VIEW v_nested AS SELECT id, owner, body FROM v_docs_invoker;
CREATE VIEW v_plain AS SELECT id, owner, body FROM plain;
ALTER VIEW v_nested OWNER TO alice;

CREATE SCHEMA a; CREATE SCHEMA b;
CREATE TABLE a.here (id int PRIMARY KEY, owner text);
CREATE TABLE b.here (id int PRIMARY KEY, owner text);
CREATE TABLE public.here (id int PRIMARY KEY, owner text);
INSERT INTO a.here VALUES (1, 'schema a'); INSERT INTO b.here VALUES (1, 'schema b');
INSERT INTO public.here VALUES (1, 'public');
GRANT USAGE ON SCHEMA a TO PUBLIC; GRANT SELECT ON a.here, b.here, public.here TO PUBLIC;
GRANT SELECT ON docs, tenants, plain, v_docs, v_docs_invoker, v_tenants_invoker, v_nested, v_plain
  TO alice, bob, boss, team, auditor;
"""

READS = [
    *(f"SELECT id, owner, body FROM {name} ORDER BY id" for name in (*TABLES, *VIEWS)),
    *(f"SELECT owner, body FROM {name} WHERE id = {key}" for name in TABLES for key in (2, 5)),
    *(f"SELECT count(*), min(owner), max(owner) FROM {name}" for name in (*TABLES, *VIEWS)),
    "SELECT id, owner FROM here ORDER BY id",
    "SELECT h.owner, p.body FROM here h JOIN plain p ON p.id = h.id",
    "SELECT id FROM secret ORDER BY id",
    "SELECT d.owner, p.owner FROM docs d JOIN plain p ON p.id = d.id ORDER BY d.id",
    "SELECT owner FROM plain p WHERE EXISTS (SELECT 1 FROM docs d WHERE d.id = p.id) ORDER BY id",
    "SELECT current_user, session_user, id FROM plain ORDER BY id LIMIT 2",
]
# Without row-level security, of which answers are kept the longest.
OPEN_READS = [
    sql for sql in READS if not any(name in sql for name in ("docs", "tenants", "nested"))
]
PATH_READS = [sql for sql in READS if " here " in sql]
ROLE_READS = [sql for sql in READS if "current_user" in sql or "docs" in sql]
PREPARED = {
    "docs": "SELECT id, owner, body FROM docs WHERE id < $1 ORDER BY id",
    "here": "SELECT id, owner FROM here WHERE id < $1",
    "secret": "SELECT id, owner FROM secret WHERE id < $1 ORDER BY id",
    "tenant": "SELECT id, owner FROM v_tenants_invoker WHERE id < $1 ORDER BY id",
}
