\pset pager off
CREATE TABLE psql_common (id bigint PRIMARY KEY, name text, amount double precision);
INSERT INTO psql_common VALUES (1, 'one', 1.5), (2, 'héllo', NULL), (3, NULL, -2);
SELECT id, name, amount FROM psql_common ORDER BY id;
SELECT id, name, amount FROM psql_common ORDER BY id;
SELECT id, name FROM psql_common WHERE id = 2 \gx
SELECT count(*) AS total FROM psql_common \gset
\echo :total
SELECT name FROM psql_common WHERE id = 1 \gdesc
BEGIN;
UPDATE psql_common SET name = 'changed' WHERE id = 1;
SAVEPOINT s;
DELETE FROM psql_common;
SELECT count(*) FROM psql_common;
ROLLBACK TO s;
SELECT name FROM psql_common ORDER BY id;
ROLLBACK;
SELECT name FROM psql_common ORDER BY id;
\set VERBOSITY sqlstate
SELECT * FROM no_such_table;
INSERT INTO psql_common VALUES (1, 'again', 0);
BEGIN;
SELECT * FROM no_such_table;
SELECT 1;
COMMIT;
\if true
  SELECT 'taken' AS branch;
\endif
DROP TABLE psql_common;
