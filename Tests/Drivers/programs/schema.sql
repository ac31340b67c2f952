-- What the programs find. They make their own tables besides.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE point3 AS (x integer, y numeric, label text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE every_type (
    id integer PRIMARY KEY, small smallint, big bigint, exact numeric(20, 6), single real,
    double double precision, flag boolean, fixed char(5), varying varchar(20), words text,
    bytes bytea, day date, moment time, moment_zone timetz, stamp timestamp, stamp_zone timestamptz,
    span interval, key uuid, doc json, docb jsonb, address inet, network cidr, mac macaddr,
    bits bit(4), more_bits varbit, place point, area box, numbers integer[], names text[],
    feeling mood, range int4range, money money, vector tsvector, spot point3, xml xml
);
INSERT INTO every_type VALUES
    (1, -32768, 9223372036854775807, 12345678901234.567891, 0.5, -1e300, true, 'ab', 'varying',
     'plain', '\x00ff10', '2013-01-31', '23:59:59.999999', '12:00:00+02', '2013-01-01 05:15:00.5',
     '2013-01-01 05:15:00+00', '1 year 2 mons 3 days 04:05:06', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     '{"a": [1, 2]}', '{"b": null}', '192.168.1.5/24', '10.0.0.0/8', '08:00:2b:01:02:03', B'1010',
     B'111', '(1,2)', '(3,4),(1,2)', '{1,2,NULL}', '{"a b","c\"d",NULL}', 'happy', '[1,5)', '12.34',
     'fat:2 rat:3', '(1,2.5,"q r")', '<a>1</a>'),
    (2, 32767, -9223372036854775808, 'NaN', 'Infinity', 0, false, '', '', 'héllo 日本語 ✈', '', 'infinity',
     '00:00:00', '00:00:00-12', '-infinity', '0044-03-15 12:00:00+00 BC', '-1 days', NULL, '[]', '"s"',
     '::1', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', B'0000', B'', '(-1e10,0)', '(0,0),(0,0)', '{}',
     '{}', 'sad', 'empty', '-0.01', '', '(,,)', '<b/>');
INSERT INTO every_type (id) VALUES (3);
CREATE TABLE parent (id serial PRIMARY KEY, name text NOT NULL UNIQUE, note text DEFAULT 'none');
CREATE TABLE child (
    id bigint GENERATED ALWAYS AS IDENTITY, parent integer REFERENCES parent ON DELETE CASCADE,
    amount positive, twice integer GENERATED ALWAYS AS (amount * 2) STORED, EXCLUDE USING btree (id WITH =)
);
COMMENT ON TABLE child IS 'has a parent';
COMMENT ON COLUMN child.amount IS 'how much';
CREATE INDEX child_amount ON child (amount DESC) WHERE amount > 10;
CREATE STATISTICS child_statistics ON parent, amount FROM child;
INSERT INTO parent (name) SELECT 'p' || n FROM generate_series(1, 20) n;
INSERT INTO child (parent, amount) SELECT 1 + n % 20, n FROM generate_series(1, 100) n;
CREATE TABLE measured (day date, city text, value integer) PARTITION BY RANGE (day);
CREATE TABLE measured_2013 PARTITION OF measured FOR VALUES FROM ('2013-01-01') TO ('2014-01-01');
CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
INSERT INTO measured VALUES ('2013-01-01', 'NYC', 1), ('2013-01-01', 'LON', 2), ('2013-01-02', 'NYC', 3),
    ('2012-01-01', 'LON', 4);
CREATE TABLE older (extra text) INHERITS (parent);
CREATE VIEW sums AS SELECT parent, sum(amount) AS total FROM child GROUP BY parent;
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n FROM child;
CREATE SEQUENCE steps START 5 INCREMENT 5;
CREATE FUNCTION add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION say(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'said %', what; END $$;
CREATE PROCEDURE nothing(INOUT a integer) LANGUAGE plpgsql AS $$ BEGIN a := a + 1; END $$;
CREATE AGGREGATE product(integer) (SFUNC = int4mul, STYPE = integer, INITCOND = '1');
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'stamped'; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE RULE ignore AS ON DELETE TO older DO INSTEAD NOTHING;
CREATE TABLE guarded (id integer, owner name);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
CREATE PUBLICATION published FOR TABLE parent WITH (publish = 'insert');
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE COLLATION german FROM "C";
CREATE EXTENSION hstore;
CREATE EXTENSION tablefunc;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE outside (line text) SERVER files OPTIONS (filename '/dev/null');
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
CREATE SCHEMA apart;
CREATE TABLE apart.thing (id integer);
ALTER DEFAULT PRIVILEGES IN SCHEMA apart GRANT SELECT ON TABLES TO reader;
GRANT SELECT, INSERT (name) ON parent TO reader;
CREATE FUNCTION event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER nothing_happens ON ddl_command_start WHEN TAG IN ('CREATE CAST') EXECUTE FUNCTION event();
