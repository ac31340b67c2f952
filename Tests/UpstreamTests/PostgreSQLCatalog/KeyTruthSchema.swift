/// Small tables for asking PostgreSQL itself which rows matter to a statement.
enum KeyTruthSchema {
    struct Table {
        let name: String
        let columns: [String]
        /// All but generated columns.
        var assignable: [String] = []
        /// What ON CONFLICT may name.
        var keys: [String] = []
    }

    static let read = [
        Table(name: "a", columns: ["id", "x", "y", "s"]),
        Table(name: "b", columns: ["id", "x", "y", "s"]),
        Table(name: "c", columns: ["x", "y", "z"]),
        Table(name: "e", columns: ["id", "x"]),
    ]

    static let written = [
        Table(
            name: "w", columns: ["id", "x", "y", "s", "v"],
            assignable: ["id", "x", "y", "s", "v"], keys: ["id", "x, y"]),
        Table(
            name: "wc", columns: ["id", "w_id", "x"], assignable: ["id", "w_id", "x"],
            keys: ["id"]),
        Table(
            name: "wn", columns: ["id", "up", "x"], assignable: ["id", "up", "x"], keys: ["id"]),
        Table(name: "wp", columns: ["id", "x"], assignable: ["id", "x"], keys: ["id, x"]),
        Table(name: "wt", columns: ["id", "x"], assignable: ["id", "x"], keys: ["id"]),
        Table(name: "wg", columns: ["id", "x", "g"], assignable: ["id", "x"], keys: ["id", "g"]),
        Table(name: "wh", columns: ["id", "g"], assignable: ["id", "g"], keys: ["id"]),
        Table(name: "wl", columns: ["id", "s"], assignable: ["id", "s"], keys: ["id", "s"]),
    ]

    /// `w…0` are copies of the tables that writes go to.
    static let sql = """
        CREATE TABLE a (id int PRIMARY KEY, x int, y bigint, s text);
        CREATE TABLE b (id bigint, x int, y smallint, s varchar(3), UNIQUE (x, y));
        CREATE TABLE c (x int, y int, z int);
        CREATE TABLE e (id int, x int) PARTITION BY LIST (x);
        CREATE TABLE e_1 PARTITION OF e FOR VALUES IN (1, 2);
        CREATE TABLE e_2 PARTITION OF e DEFAULT;

        CREATE TABLE w (id int PRIMARY KEY, x int, y int, s text, v varchar(3), UNIQUE (x, y));
        CREATE TABLE wc (id int PRIMARY KEY, x int,
            w_id int REFERENCES w ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE wn (id int PRIMARY KEY, x int,
            up int REFERENCES wn ON DELETE SET NULL ON UPDATE CASCADE);
        CREATE TABLE wp (id int, x int, PRIMARY KEY (id, x)) PARTITION BY LIST (x);
        CREATE TABLE wp_1 PARTITION OF wp FOR VALUES IN (1, 2);
        CREATE TABLE wp_2 PARTITION OF wp DEFAULT;
        CREATE TABLE wt (id int PRIMARY KEY, x int);
        CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                NEW.x := NEW.x + 5; RETURN NEW; END $$;
        CREATE TRIGGER bump BEFORE INSERT OR UPDATE OR DELETE ON wt
            FOR EACH ROW EXECUTE FUNCTION bump();
        CREATE TABLE wg (id int PRIMARY KEY, x int,
            g int GENERATED ALWAYS AS (x + 1) STORED UNIQUE);
        CREATE TABLE wh (id int PRIMARY KEY, g int REFERENCES wg (g) ON UPDATE CASCADE
            ON DELETE CASCADE);
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2',
            deterministic = false);
        CREATE TABLE wl (id int PRIMARY KEY, s text);
        CREATE UNIQUE INDEX ON wl (s COLLATE loose);

        INSERT INTO w VALUES (0, 0, 1, 'p', 'q'), (1, 1, 1, 'p', 'p'), (2, 1, 2, 'q', NULL),
            (3, 2, 2, NULL, 'q'), (-1, NULL, 3, 'q', 'p');
        INSERT INTO wc (id, w_id, x) VALUES (0, 0, 1), (1, 1, 2), (2, 1, 3), (3, NULL, 1);
        INSERT INTO wn (id, up, x) VALUES (0, NULL, 1), (1, 0, 2), (2, 0, 1), (3, 1, 2);
        INSERT INTO wp VALUES (0, 1), (1, 1), (2, 3), (3, 2), (1, 3);
        INSERT INTO wt VALUES (1, 1), (2, 2), (3, 3);
        INSERT INTO wg (id, x) VALUES (0, 0), (1, 1), (2, 2);
        INSERT INTO wh VALUES (0, 1), (1, 2), (2, 2), (3, 3);
        INSERT INTO wl VALUES (0, 'P'), (1, 'q'), (2, NULL);
        CREATE TABLE w0 AS TABLE w; CREATE TABLE wc0 AS TABLE wc; CREATE TABLE wn0 AS TABLE wn;
        CREATE TABLE wp0 AS TABLE wp; CREATE TABLE wt0 AS TABLE wt; CREATE TABLE wg0 AS TABLE wg;
        CREATE TABLE wh0 AS TABLE wh; CREATE TABLE wl0 AS TABLE wl;
        """
}
