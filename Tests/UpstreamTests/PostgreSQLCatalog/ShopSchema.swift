/// One of everything that a profile can depend on.
enum ShopSchema {
    static let sql = """
        CREATE TYPE mood AS ENUM ('ok', 'bad');
        CREATE DOMAIN short AS text CHECK (length(value) < 10);
        CREATE TABLE customer (id int PRIMARY KEY, name text, feeling mood, nick short,
            born date, score numeric DEFAULT 0);
        CREATE TABLE orders (id int PRIMARY KEY, customer_id int
            REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE, placed timestamptz);
        CREATE TABLE line (id serial PRIMARY KEY,
            order_id int REFERENCES orders ON DELETE SET NULL);
        CREATE TABLE note (id int PRIMARY KEY, line_id int REFERENCES line);
        CREATE TABLE plain (id int PRIMARY KEY, t text, token uuid DEFAULT gen_random_uuid());
        CREATE TABLE parent (id int); CREATE TABLE child (extra text) INHERITS (parent);
        CREATE TABLE grandchild () INHERITS (child);
        CREATE TABLE event (id int, day date) PARTITION BY LIST (id);
        CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
        CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2) PARTITION BY LIST (day);
        CREATE TABLE event_2_a PARTITION OF event_2 DEFAULT;
        CREATE TABLE audited (id int PRIMARY KEY); CREATE TABLE audit (id int);
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO audit VALUES (1); RETURN NEW; END $$;
        CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON audited
            FOR EACH ROW EXECUTE FUNCTION audit();
        CREATE TABLE stamped (id int PRIMARY KEY, at timestamptz);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF TG_OP = 'UPDATE' THEN NEW.at := now(); END IF; RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT OR UPDATE ON stamped
            FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE TABLE disabled (id int);
        CREATE TRIGGER t AFTER INSERT ON disabled FOR EACH ROW EXECUTE FUNCTION audit();
        ALTER TABLE disabled DISABLE TRIGGER t;
        CREATE TABLE ruled (id int);
        CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO plain VALUES (1);
        CREATE TABLE secret (id int, owner text); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON secret USING (owner = current_user);
        CREATE TABLE dice (id int); ALTER TABLE dice ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON dice USING (random() > 0.5);
        CREATE FUNCTION writer() RETURNS int LANGUAGE plpgsql AS
            $$ BEGIN UPDATE plain SET t = 'x'; RETURN 1; END $$;
        CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql STABLE AS 'SELECT writer()';
        CREATE FUNCTION reader() RETURNS bigint LANGUAGE sql STABLE AS
            'SELECT count(*) FROM plain';
        CREATE FUNCTION atomic_writer() RETURNS int LANGUAGE sql
            BEGIN ATOMIC INSERT INTO plain VALUES (7); SELECT 1; END;
        CREATE PROCEDURE proc() LANGUAGE plpgsql AS
            $$ BEGIN UPDATE plain SET t = 'y'; COMMIT; END $$;
        CREATE TABLE guarded (id int DEFAULT writer());
        CREATE DOMAIN checked AS int CHECK (value >= writer());
        CREATE TABLE checked_table (id int, c checked[]);
        CREATE FUNCTION cmp(text, text) RETURNS bool LANGUAGE sql STABLE AS
            'SELECT $1 < current_setting($2)';
        CREATE OPERATOR <~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = cmp);
        CREATE VIEW customer_v AS SELECT id, name FROM customer;
        CREATE VIEW nested_v AS SELECT v.id, l.order_id FROM customer_v v JOIN line l USING (id)
            WHERE EXISTS (SELECT FROM event);
        CREATE VIEW dated_v AS SELECT born::timestamp AS born, placed::date AS placed
            FROM customer JOIN orders ON orders.customer_id = customer.id;
        CREATE VIEW instead_v AS SELECT id FROM customer;
        CREATE TRIGGER t INSTEAD OF INSERT ON instead_v
            FOR EACH ROW EXECUTE FUNCTION audit();
        CREATE VIEW writing_v AS SELECT writer() AS id;
        CREATE VIEW random_v AS SELECT random() FROM plain;
        CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM orders;
        CREATE UNIQUE INDEX ON totals (n);
        CREATE SCHEMA other; CREATE TABLE other.plain (id int); CREATE SCHEMA app;
        CREATE TABLE app.mine (id int);
        CREATE TABLE "Odd \"\"name\"\"" (id int);
        INSERT INTO customer VALUES (1, 'a'); INSERT INTO orders VALUES (1, 1, now());
        INSERT INTO line VALUES (1, 1); INSERT INTO plain VALUES (9); INSERT INTO audited VALUES (1);
        INSERT INTO event VALUES (1), (2); INSERT INTO parent VALUES (1);
        INSERT INTO stamped VALUES (1); INSERT INTO grandchild VALUES (1);
        """

    /// Reads that must be cacheable.
    static let cacheable = [
        "SELECT * FROM plain", "SELECT count(*), sum(id), max(t) FROM plain GROUP BY t",
        "SELECT c.*, o.placed FROM customer c JOIN orders o ON o.customer_id = c.id WHERE c.id = 1",
        "SELECT * FROM customer_v", "SELECT * FROM nested_v", "SELECT * FROM dated_v",
        "SELECT n FROM totals", "SELECT * FROM parent", "SELECT * FROM ONLY grandchild",
        "SELECT * FROM event WHERE id = 1", "SELECT * FROM event_2_a",
        "WITH x AS (SELECT id FROM plain) SELECT * FROM x, customer_v",
        "WITH plain AS (SELECT * FROM plain) SELECT * FROM plain",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) "
            + "SELECT * FROM r, line",
        "SELECT date_trunc('month', placed), to_char(placed, 'YYYY'), placed::date, "
            + "extract(epoch FROM placed), placed AT TIME ZONE 'UTC' FROM orders",
        "SELECT lower(name), name || 'x', coalesce(name, ''), feeling = 'ok', nick FROM customer",
        "SELECT json_agg(c), array_agg(id ORDER BY id), string_agg(name, ',') FROM customer c",
        "SELECT jsonb_build_object('a', id), row_to_json(plain), to_jsonb(t) FROM plain",
        "SELECT id, row_number() OVER (PARTITION BY t ORDER BY id) FROM plain",
        "SELECT * FROM plain WHERE t LIKE 'a%' AND t ~ '^x' AND id BETWEEN 1 AND 5 "
            + "AND id = ANY (ARRAY[1, 2]) AND t IN ('a', 'b') AND t IS NOT NULL",
        "SELECT substring(t FROM 1 FOR 2), position('a' IN t), trim(t), overlay(t PLACING 'x' "
            + "FROM 1), left(t, 1), replace(t, 'a', 'b'), md5(t), length(t), abs(id), "
            + "round(id::numeric / 3, 2), greatest(id, 2), nullif(id, 1) FROM plain",
        "SELECT unnest(string_to_array(t, ',')) FROM plain",
        "SELECT * FROM plain, generate_series(1, 3) g(n) WHERE g.n = plain.id",
        "SELECT t::mood, '1'::int, 2::text, id::bigint FROM plain WHERE id = 99",
        "SELECT * FROM plain UNION ALL SELECT * FROM plain ORDER BY 1 LIMIT 10 OFFSET 0",
        "SELECT id FROM plain EXCEPT SELECT id FROM customer",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score) FROM customer",
        "SELECT count(*) FROM customer WHERE born > '2024-01-01' AND born < date '2025-01-01'",
        "SELECT * FROM plain p WHERE EXISTS (SELECT FROM line l WHERE l.id = p.id)",
        "SELECT GROUPING(t), count(*) FROM plain GROUP BY ROLLUP (t)",
        "SELECT to_tsvector('english', t) @@ plainto_tsquery('english', 'x') FROM plain",
        "SELECT * FROM \"Odd \"\"name\"\"\"", "SELECT * FROM mine",
        "SELECT t COLLATE \"C\" FROM plain ORDER BY 1", "SELECT DISTINCT ON (t) id FROM plain",
        "SELECT *, current_user, session_user FROM secret",
        "TABLE plain", "SELECT stamped.at + interval '1 day' FROM stamped",
    ]

    /// Writes whose write set is known by tables.
    static let writes = [
        "INSERT INTO plain VALUES (2)", "UPDATE plain SET t = 'z'", "DELETE FROM plain",
        "INSERT INTO plain VALUES (9) ON CONFLICT (id) DO UPDATE SET t = 'q'",
        "MERGE INTO plain p USING customer c ON p.id = c.id "
            + "WHEN NOT MATCHED THEN INSERT VALUES (c.id)",
        "WITH d AS (DELETE FROM plain RETURNING id) INSERT INTO parent SELECT id FROM d",
        "WITH d AS (DELETE FROM plain RETURNING *) SELECT * FROM d",
        "EXPLAIN ANALYZE UPDATE plain SET t = 'z'", "EXPLAIN (ANALYZE) DELETE FROM plain",
        "DELETE FROM customer", "UPDATE customer SET id = 5", "DELETE FROM orders",
        "TRUNCATE plain", "TRUNCATE customer CASCADE", "TRUNCATE orders, line, note",
        "INSERT INTO child VALUES (2)", "UPDATE parent SET id = 8", "DELETE FROM ONLY grandchild",
        "INSERT INTO event VALUES (1)", "UPDATE event SET id = 2 WHERE id = 1",
        "DELETE FROM event_2", "INSERT INTO event_2_a VALUES (2)",
        "REFRESH MATERIALIZED VIEW totals", "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
        "UPDATE customer_v SET name = 'n'", "DELETE FROM customer_v",
        "INSERT INTO stamped VALUES (4)", "UPDATE stamped SET id = 6",
        "INSERT INTO disabled VALUES (1)", "COPY plain FROM PROGRAM 'true'",
        "INSERT INTO line (id) SELECT id + 100 FROM nested_v",
        "INSERT INTO audited VALUES (2)", "DELETE FROM audited",
        "INSERT INTO guarded DEFAULT VALUES", "INSERT INTO checked_table VALUES (1, '{3}')",
        "INSERT INTO instead_v VALUES (3)", "SELECT writer()", "SELECT sneaky()",
        "SELECT atomic_writer()", "SELECT * FROM writing_v",
        "SELECT * FROM plain WHERE id = writer()", "DO $$ BEGIN UPDATE plain SET t = 'd'; END $$",
    ]

    /// Statements that run code that cannot be seen through.
    static let opaque = [
        "INSERT INTO ruled VALUES (1)", "CALL proc()",
        "CREATE TABLE made AS SELECT 1 AS a", "SELECT 1 AS a INTO made",
        "ALTER TABLE plain ADD z int", "DROP TABLE note",
    ]
}
