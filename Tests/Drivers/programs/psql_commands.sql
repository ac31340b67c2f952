\set VERBOSITY default
\pset pager off
\echo == describe
\d
\d+
\d child
\d+ child
\d parent
\d+ parent
\d older
\d measured
\d+ measured
\d sums
\d+ sums
\d counts
\d steps
\d child_amount
\d guarded
\d outside
\d every_type
\d point3
\d apart.*
\d no_such_relation
\dA
\dA+ btree
\dAc btree integer
\dAf btree integer
\dAo btree integer_ops
\dAp btree integer_ops
\da product
\db
\dc *iso*
\dC integer
\dconfig work_mem
\dd
\dD
\dD+
\ddp
\dE
\des
\des+
\det
\deu
\dew
\df
\df+ add
\dfa
\dfn add int
\dfp
\dft
\dfw
\dF
\dF+ words
\dFd simple
\dFp
\dFt simple
\dg
\di
\di+ child_amount
\dL
\dl
\dm
\dn
\dn+ apart
\do ===
\dO german
\dp
\dP
\dPi
\dPt+
\drds
\dRp
\dRp+
\dRs
\ds
\dt
\dtvm
\dt apart.*
\dt *.thing
\dT
\dT+ mood
\du
\dv
\dx
\dx+ hstore
\dX
\dy
\l template0
\sf add
\sf+ say
\sv sums
\sv+ sums
\z parent
\dtS pg_class
\dfS pg_sleep
\echo == reads
SELECT id, name, note FROM parent ORDER BY id LIMIT 3;
SELECT * FROM every_type ORDER BY id;
SELECT * FROM every_type WHERE id = 1 \gx
SELECT sum(total) FROM sums \g
SELECT id, name FROM parent WHERE id = 1 \gdesc
SELECT count(*) AS total, min(name) AS least FROM parent \gset counted_
\echo :counted_total :counted_least
SELECT format('SELECT %s AS n', n) FROM generate_series(1, 3) n \gexec
SELECT city, day, value FROM measured ORDER BY 1, 2 \crosstabview
SELECT parent, amount FROM child WHERE id < 4 ORDER BY id \g (format=csv tuples_only=on)
SELECT name FROM parent ORDER BY id LIMIT 2 \g | cat
\set who p3
SELECT id FROM parent WHERE name = :'who';
SELECT 1 AS one \; SELECT 2 AS two \; SELECT name FROM parent WHERE id = 2;
TABLE counts;
VALUES (1, 'a'), (2, 'b');
EXPLAIN (COSTS OFF) SELECT * FROM parent WHERE id = 1;
\echo == formats
\pset format csv
SELECT id, name FROM parent ORDER BY id LIMIT 2;
\pset format html
SELECT id, name FROM parent ORDER BY id LIMIT 1;
\pset format unaligned
\pset fieldsep ;
SELECT id, name FROM parent ORDER BY id LIMIT 2;
\pset format wrapped
\pset columns 40
SELECT words, names FROM every_type WHERE id = 1;
\pset format aligned
\pset null (none)
\pset expanded auto
SELECT words, flag FROM every_type ORDER BY id;
\x off
\t on
SELECT count(*) FROM child;
\t off
\a
SELECT count(*) FROM child;
\a
\pset border 2
\pset title Titled
SELECT 1;
\pset title
\pset border 1
\pset columns 0
\pset null ''
\echo == conditions
SELECT 1 > 0 AS yes, 1 > 2 AS no \gset
\if :yes
  \echo taken
\elif :no
  \echo wrong
\else
  \echo wrong
\endif
\if :no
  SELECT never;
\endif
\echo :SERVER_VERSION_NUM :ROW_COUNT :ERROR :LAST_ERROR_SQLSTATE
\echo == errors
SELECT * FROM no_such_table;
\errverbose
\echo :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
SELECT 1/0;
\errverbose
SELECT id FROM parent WHERE nam = 'p1';
SELEC 1;
INSERT INTO parent (name) VALUES ('p1');
\errverbose
INSERT INTO child (parent, amount) VALUES (1, -1);
INSERT INTO child (parent, amount) VALUES (1000, 1);
\set VERBOSITY verbose
SELECT 'x'::integer;
\set VERBOSITY terse
SELECT 'x'::integer;
\set VERBOSITY sqlstate
SELECT 'x'::integer;
\set VERBOSITY default
\set SHOW_CONTEXT always
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint', DETAIL = 'a detail'; END $$;
SELECT say('hello');
DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'P0123', COLUMN = 'c', TABLE = 't'; END $$;
\errverbose
\set SHOW_CONTEXT errors
\echo == transactions
DROP TABLE IF EXISTS mine, copied;
DROP SEQUENCE IF EXISTS rounds;
CREATE TABLE mine (id integer PRIMARY KEY, v text);
BEGIN;
INSERT INTO mine VALUES (1, 'one');
SAVEPOINT s;
INSERT INTO mine VALUES (1, 'again');
SELECT count(*) FROM mine;
ROLLBACK TO s;
SELECT count(*) FROM mine;
RELEASE s;
COMMIT AND CHAIN;
DELETE FROM mine;
ROLLBACK;
SELECT * FROM mine;
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO mine VALUES (2, 'two');
INSERT INTO mine VALUES (2, 'two');
INSERT INTO mine VALUES (3, 'three');
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT * FROM mine ORDER BY id;
\set AUTOCOMMIT off
UPDATE mine SET v = 'changed' WHERE id = 3;
SELECT * FROM mine ORDER BY id;
ROLLBACK;
SELECT * FROM mine ORDER BY id;
COMMIT;
\set AUTOCOMMIT on
COMMIT;
BEGIN; SELECT count(*) FROM mine; COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT count(*) FROM mine;
SHOW transaction_isolation;
UPDATE mine SET v = 'no';
ROLLBACK;
PREPARE TRANSACTION 'none';
BEGIN;
UPDATE mine SET v = v || '!' WHERE id = 1;
PREPARE TRANSACTION 'two-phase';
SELECT gid FROM pg_prepared_xacts;
COMMIT PREPARED 'two-phase';
SELECT v FROM mine WHERE id = 1;
CALL nothing(1);
INSERT INTO mine VALUES (4, 'four') RETURNING *;
MERGE INTO mine USING (VALUES (4), (5)) AS new (id) ON mine.id = new.id
    WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (new.id, 'new');
SELECT * FROM mine ORDER BY id;
\echo == prepared and cursors
PREPARE named (integer) AS SELECT v FROM mine WHERE id = $1;
EXECUTE named (2);
EXECUTE named (2);
SELECT name, statement, parameter_types FROM pg_prepared_statements;
DEALLOCATE named;
EXECUTE named (2);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM parent ORDER BY id;
FETCH 2 FROM c;
MOVE 3 IN c;
FETCH BACKWARD 2 FROM c;
CLOSE c;
COMMIT;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM parent ORDER BY id;
FETCH 2 FROM held;
SELECT count(*) FROM parent;
FETCH 2 FROM held;
CLOSE held;
\set FETCH_COUNT 7
SELECT id, name FROM parent ORDER BY id;
\set FETCH_COUNT 0
\echo == copy
COPY parent (id, name) TO STDOUT;
COPY (SELECT id, v FROM mine ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER);
\copy (SELECT id, v FROM mine ORDER BY id) TO 'mine.csv' WITH (FORMAT csv)
CREATE TABLE copied (id integer, v text);
\copy copied FROM 'mine.csv' WITH (FORMAT csv)
COPY copied FROM STDIN;
10	ten
11	\N
\.
\copy copied FROM STDIN CSV
12,"twelve, quoted"
\.
SELECT * FROM copied ORDER BY id;
COPY copied FROM STDIN;
x	wrong
\.
SELECT count(*) FROM copied;
\copy copied TO PROGRAM 'sort > sorted.txt'
\! cat sorted.txt
\copy copied TO 'mine.bin' WITH (FORMAT binary)
TRUNCATE copied;
\copy copied FROM 'mine.bin' WITH (FORMAT binary)
SELECT count(*), count(v) FROM copied;
\copy no_such_table TO 'x.csv'
\echo == settings
SET search_path = apart, public;
\dt
SHOW search_path;
RESET search_path;
SET LOCAL work_mem = '1MB';
SET statement_timeout = '5s';
SHOW statement_timeout;
RESET ALL;
SHOW statement_timeout;
SET ROLE reader;
SELECT current_user, session_user;
SELECT count(*) FROM parent;
SELECT count(*) FROM mine;
RESET ROLE;
SET SESSION AUTHORIZATION reader;
SELECT current_user;
RESET SESSION AUTHORIZATION;
SET TimeZone = 'Asia/Tokyo';
SELECT stamp_zone FROM every_type WHERE id = 1;
SET DateStyle = 'German';
SELECT stamp_zone, day FROM every_type WHERE id = 1;
RESET TimeZone;
RESET DateStyle;
SET extra_float_digits = 0;
SELECT double, single FROM every_type WHERE id = 1;
RESET extra_float_digits;
SET bytea_output = escape;
SELECT bytes FROM every_type WHERE id = 1;
RESET bytea_output;
\encoding LATIN1
SELECT 'h\u00e9' AS ascii_only;
\encoding UTF8
SELECT words FROM every_type WHERE id = 2;
SET application_name = 'a program';
SHOW application_name;
CREATE TEMPORARY TABLE passing (id integer);
INSERT INTO passing VALUES (1), (2);
SELECT count(*) FROM passing;
SELECT count(*) FROM passing;
DROP TABLE passing;
SELECT pg_advisory_lock(4711);
SELECT pg_advisory_unlock(4711);
SELECT pg_advisory_unlock(4711);
SELECT set_config('app.tenant', 'seven', false);
SELECT current_setting('app.tenant');
DISCARD ALL;
SELECT current_setting('app.tenant', true);
\echo == notifications
LISTEN events;
NOTIFY events, 'payload';
SELECT pg_notify('events', 'by function');
SELECT 1 AS after;
UNLISTEN *;
NOTIFY events, 'nobody';
SELECT 1 AS after;
\echo == large objects
\lo_import 'mine.csv' 'a comment'
\set object :LASTOID
\lo_list
SELECT convert_from(lo_get(:object), 'UTF8');
\lo_export :object 'exported.csv'
\! cmp mine.csv exported.csv
\lo_unlink :object
SELECT lo_get(:object);
\echo == watch
CREATE SEQUENCE rounds;
SELECT 1 / (3 - nextval('rounds')) AS left \watch 0.01
\echo == connections
\conninfo
\connect - reader
SELECT current_user;
SELECT count(*) FROM parent;
DELETE FROM parent;
\connect - postgres
SELECT current_user;
\timing on
SELECT 1;
SELECT name FROM parent WHERE id = 4;
\timing off
\o out.txt
SELECT 'in the file';
\o
\! cat out.txt
\i included.sql
\ir included.sql
\qecho to the output
\warn to the errors
\set
\unset who
\p
\g
\r
\w written.sql
\getenv home_directory NO_SUCH_VARIABLE
\cd .
\copyright
DROP TABLE mine, copied;
DROP SEQUENCE rounds;
