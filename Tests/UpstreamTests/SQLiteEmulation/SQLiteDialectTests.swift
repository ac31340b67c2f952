import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite dialect")
struct SQLiteDialectTests {
    private static let data =
        "CREATE TABLE t (a, b TEXT, c TEXT, x BOOLEAN);"
        + "INSERT INTO t VALUES (1, 'Apple', '2024-03-05 10:20:30', 1), (2.5, 'a_b', NULL, 0),"
        + "(3, 'APPLE pie', '2023-01-01', 1)"

    @Test(
        "What PostgreSQL's clients write gives PostgreSQL's results on SQLite",
        arguments: [
            ("SELECT a::int FROM t ORDER BY a", ["1", "3", "3"]),
            ("SELECT (a + 1)::text || '!' FROM t WHERE a = 1", ["2!"]),
            (
                "SELECT '7'::int + 1, -1::int, '2024-01-01'::date, 9007199254740993::bigint",
                ["8|-1|2024-01-01|9007199254740993"]
            ),
            ("SELECT CAST(c AS date) FROM t WHERE a = 1", ["2024-03-05"]),
            ("SELECT CAST('12' AS integer), CAST(b AS varchar(3)) FROM t WHERE a = 1", ["12|App"]),
            ("SELECT 't'::boolean, 'yes'::text::bool, x::bool FROM t WHERE a = 1", ["1|1|1"]),
            ("SELECT '1.256'::numeric(10,2), 2::float8", ["1.26|2.0"]),
            ("SELECT b FROM t WHERE b LIKE 'A%' ORDER BY a", ["Apple", "APPLE pie"]),
            ("SELECT b FROM t WHERE b LIKE 'a%'", ["a_b"]),
            ("SELECT b FROM t WHERE b ILIKE 'aPPLe%' ORDER BY a", ["Apple", "APPLE pie"]),
            ("SELECT b FROM t WHERE b || '?' NOT ILIKE 'app' || '%'", ["a_b"]),
            ("SELECT b FROM t WHERE b LIKE 'a\\_%'", ["a_b"]),
            ("SELECT count(*) FROM t WHERE b LIKE 'A\\_%'", ["0"]),
            ("SELECT count(*) FROM t WHERE b LIKE 'a!_%' ESCAPE '!'", ["1"]),
            (
                "SELECT public.t.b FROM public.t JOIN ONLY \"public\".t AS u ON u.a = t.a WHERE t.a = 3",
                ["APPLE pie"]
            ),
            ("SELECT pg_catalog.lower(b) FROM t WHERE a = 1 FOR UPDATE OF t NOWAIT", ["apple"]),
            ("SELECT b FROM t ORDER BY a OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY", ["a_b"]),
            ("SELECT b FROM t ORDER BY a OFFSET 2", ["APPLE pie"]),
            ("SELECT b FROM t ORDER BY a OFFSET 1 LIMIT 1", ["a_b"]),
            ("SELECT b FROM t ORDER BY a LIMIT 1 OFFSET 2", ["APPLE pie"]),
            ("SELECT b FROM t ORDER BY a LIMIT ALL OFFSET 2", ["APPLE pie"]),
            ("SELECT b FROM (SELECT b, a FROM t ORDER BY a FETCH FIRST ROW ONLY) AS s", ["Apple"]),
            ("SELECT E'a\\tb\\'\\u0041\\x42\\103', $$it's$$, $q$x$q$", ["a\tb'ABC|it's|x"]),
            (
                "SELECT extract(year FROM c), EXTRACT(month FROM c), extract('hour' from c) "
                    + "FROM t WHERE a = 1", ["2024|3|10"]
            ),
            (
                "SELECT date '2024-01-01', timestamp '2024-01-01 10:00'",
                ["2024-01-01|2024-01-01 10:00:00"]
            ),
            ("SELECT count(*) FROM t WHERE a = ANY(ARRAY[1, 3])", ["2"]),
            ("SELECT position('pp' in b), substring(b from 2 for 3) FROM t WHERE a = 1", ["2|ppl"]),
            ("SELECT now() = CURRENT_TIMESTAMP, length(localtimestamp(3)) > 0", ["1|1"]),
            ("SELECT count(*) FROM t WHERE now()::date >= '2020-01-01'::date", ["3"]),
            ("SELECT 'a::int', \"b\"::text -- ::int\nFROM t WHERE a = 1", ["a::int|Apple"]),
            ("SELECT (SELECT max(a) FROM t)::int, (1 + 2)::text", ["3|3"]),
            ("SELECT '\\x0102'::bytea = X'0102'", ["1"]),
        ])
    func results(_ sql: String, _ rows: [String]) throws {
        let database = try BookDatabase(Self.data)
        let rewritten = SQLiteDialect.rewrite(sql)
        #expect(try database.run(rewritten.sql).map { $0.joined(separator: "|") } == rows)
    }

    @Test(
        "A text that SQLite takes as it is stays byte for byte",
        arguments: [
            "SELECT 1", "SELECT a,  b FROM t /* :: */ WHERE a = 'x::int'",
            "SELECT 'ILIKE' AS \"now\"", "INSERT INTO t (a) VALUES ($1), (?2)",
            "SELECT * FROM t LIMIT 5 OFFSET 3", "SELECT a FROM t WHERE b LIKE 'x%'",
            "SELECT a AS date, b AS \"timestamp\" FROM t",
            "SELECT * FROM t WHERE b LIKE a ESCAPE '!'", "this is ' not SQL ::",
        ])
    func untouched(_ sql: String) {
        #expect(SQLiteDialect.rewrite(sql) == RewrittenStatement(sql: sql, parameterTypes: [:]))
    }

    @Test("Casts of parameters give their types")
    func parameters() {
        let rewritten = SQLiteDialect.rewrite(
            "SELECT $1::bigint, $2::text, CAST($3 AS date), $4::timestamp with time zone, $1 + $5")
        #expect(rewritten.sql == "SELECT $1, $2, $3, $4, $1 + $5")
        #expect(rewritten.parameterTypes == [1: 20, 2: 25, 3: 1082, 4: 1184])
    }

    @Test(
        "What has no equal is refused by SQLite instead of meaning something else",
        arguments: [
            "SELECT a::int[] FROM t", "SELECT b::nosuch FROM t", "SELECT '1 day'::interval",
            "SELECT CAST(a AS interval) FROM t", "SELECT 'today'::date::nosuch",
            "SELECT b FROM t ORDER BY a FETCH FIRST 1 ROWS WITH TIES", "SELECT (a).b::int FROM t",
            "SELECT CAST('x' AS character(3))", "SELECT $1::interval",
        ])
    func refused(_ sql: String) throws {
        let database = try BookDatabase(Self.data)
        #expect(throws: PostgresError.self) { try database.run(SQLiteDialect.rewrite(sql).sql) }
    }

    @Test("SERIAL columns count up")
    func serial() throws {
        let database = try BookDatabase("CREATE TABLE z (x)")
        let create = SQLiteDialect.rewrite(
            """
            CREATE TABLE s (id SERIAL PRIMARY KEY, at TIMESTAMP WITH TIME ZONE DEFAULT now(),
                n TEXT DEFAULT 'x'::text)
            """)
        _ = try database.run(create.sql)
        _ = try database.run("INSERT INTO s (n) VALUES ('a')")
        _ = try database.run("INSERT INTO s DEFAULT VALUES")
        #expect(
            try database.run("SELECT id, n, at IS NOT NULL FROM s") == [
                ["1", "a", "1"], ["2", "x", "1"],
            ])
    }

    @Test("Chains of casts do not grow without bound")
    func castChain() {
        for cast in ["::int", "::text", "::bool"] {
            let sql = "SELECT a" + String(repeating: cast, count: 3000) + " FROM t"
            #expect(SQLiteDialect.rewrite(sql).sql.utf8.count < 20_000_000)
        }
        let nested =
            "SELECT " + String(repeating: "(", count: 20_000) + "a"
            + String(repeating: ")::text", count: 20_000)
        #expect(SQLiteDialect.rewrite(nested).sql.utf8.count < 20_000_000)
    }
}
