import PostgresWire
import Testing

@testable import Upstream

@Suite("Session and catalog questions")
struct SessionQuestionsTests {
    @Test(
        "What clients ask is described and answered as PostgreSQL does",
        arguments: RecordedStatement.psql + RecordedStatement.drivers + RecordedStatement.sqlAlchemy
    )
    func recorded(_ statement: RecordedStatement) throws {
        let database = try BookDatabase()
        let described = try #require(
            try SessionQuestions.describe(
                database.filled(statement.sql), session: database.session, schema: database.schema))
        #expect(described.columns.map { .init($0.name, $0.typeOID) } == statement.columns)
        #expect(described.parameters == statement.parameterTypes)
        let answer = try #require(try database.ask(statement.sql, statement.parameters))
        #expect(answer.columns == described.columns)
        if let rows = statement.rows { #expect(answer.rows == rows) }
    }

    @Test(
        "Statements about the application's own data are left to SQLite",
        arguments: [
            "SELECT 1", "SELECT * FROM books", "SELECT id::text FROM books", "select $1::int",
            "INSERT INTO books VALUES (1)", "SELECT lower(title) FROM books", "BEGIN",
            "SELECT now()", "SELECT current_timestamp", "SELECT 'pg_class'", "not even SQL [",
            "WITH pg_class AS (SELECT 1) SELECT * FROM pg_class", "SELECT pg_class FROM books",
        ])
    func notAQuestion(_ sql: String) throws {
        #expect(try BookDatabase().ask(sql) == nil)
    }

    @Test(
        "Session functions answer for the session",
        arguments: [
            (
                "SELECT current_database(), current_schema(), current_user",
                ["app", "public", "postgres"]
            ),
            ("SELECT pg_backend_pid(), current_schemas(true)", ["7", "{pg_catalog,public}"]),
            ("SELECT current_setting('application_name')", ["tests"]),
            ("SELECT current_setting('no.such', true)", [nil]),
            (
                "SELECT 'books'::regclass, 'int4'::regtype, 25::regtype",
                ["books", "integer", "text"]
            ),
            ("SELECT to_regclass('nosuch'), to_regclass('public.books')", [nil, "books"]),
            ("SELECT ARRAY[1, 2], '{a,\"b c\",NULL}'::text[]", ["{1,2}", "{a,\"b c\",NULL}"]),
            ("SELECT has_table_privilege('books', 'SELECT')", ["t"]),
            ("SELECT pg_size_pretty(123456789::bigint)", ["118 MB"]),
            (
                "SELECT format_type(1043, 84), quote_ident('A b')",
                ["character varying(80)", "\"A b\""]
            ),
            ("SELECT count(*) FROM pg_class WHERE relname = ANY ('{books,tags}')", ["2"]),
            ("SELECT max(attnum) FROM pg_attribute WHERE attrelid = 'books'::regclass", ["6"]),
            (
                "SELECT string_agg(attname, ',' ORDER BY attnum DESC) FROM pg_attribute "
                    + "WHERE attrelid = '{tags}'", ["tag,book_id"]
            ),
            (
                "SELECT relname FROM pg_class WHERE relname ILIKE 'BOO%' AND relkind = 'r'",
                ["books"]
            ),
            ("SELECT count(*) FROM pg_type WHERE typlen = -1 AND oid = 25", ["1"]),
        ] as [(String, [String?])])
    func functions(_ sql: String, _ row: [String?]) throws {
        let answer = try #require(try BookDatabase().ask(sql))
        #expect(answer.rows == [row])
        #expect(answer.tag == "SELECT 1")
    }

    @Test("information_schema tells tables, columns and keys")
    func informationSchema() throws {
        let database = try BookDatabase()
        let tables = try database.ask(
            """
            SELECT table_name, table_type FROM information_schema.tables
            WHERE table_schema = 'public' ORDER BY 1
            """)
        #expect(
            tables?.rows == [
                ["authors", "BASE TABLE"], ["books", "BASE TABLE"], ["cheap_books", "VIEW"],
                ["tags", "BASE TABLE"],
            ])
        let columns = try database.ask(
            """
            SELECT column_name, data_type, is_nullable, column_default, numeric_precision,
                numeric_scale FROM information_schema.columns
            WHERE table_name = $1 ORDER BY ordinal_position
            """, ["books"])
        #expect(columns?.rows[3] == ["price", "numeric", "YES", "0", "10", "2"])
        #expect(columns?.rows.count == 6)
        let keys = try database.ask(
            """
            SELECT tc.constraint_type, kcu.column_name, ccu.table_name
            FROM information_schema.table_constraints tc
            JOIN information_schema.key_column_usage kcu USING (constraint_name)
            JOIN information_schema.constraint_column_usage ccu USING (constraint_name)
            WHERE tc.table_name = 'books' ORDER BY 1
            """)
        #expect(
            keys?.rows == [
                ["FOREIGN KEY", "author_id", "authors"], ["PRIMARY KEY", "id", "books"],
            ])
    }

    @Test(
        "A question without an answer is an error with PostgreSQL's code",
        arguments: [
            ("SELECT 'nosuch'::regclass", "42P01"),
            ("SELECT nosuch FROM pg_class", "42703"),
            ("SELECT * FROM pg_catalog.nosuch", "42P01"),
            ("SELECT * FROM books JOIN pg_class ON true", "0A000"),
            ("SELECT pg_nosuch_function()", "0A000"),
            ("SELECT DISTINCT ON (relname) relname FROM pg_class", "0A000"),
            ("SELECT current_setting('no.such')", "42704"),
            ("SELECT oid FROM pg_class WHERE oid = 'x'", "22P02"),
            ("SELECT pg_sleep(10), version()", "0A000"),
            ("SELECT count(*) FROM pg_attribute a, pg_attribute b, pg_attribute c", "54000"),
        ])
    func errors(_ sql: String, _ code: String) throws {
        let error = #expect(throws: PostgresError.self) { try BookDatabase().ask(sql) }
        #expect(error?.sqlState.rawValue == code)
    }

    @Test("set_config tells what is to be set")
    func settingChanges() throws {
        let answer = try BookDatabase().ask("SELECT set_config('Jit', 'off', true)")
        #expect(
            answer?.settingChanges == [.init(name: "jit", value: "off", isLocal: true)])
        #expect(answer?.rows == [["off"]])
    }

    @Test("Deep nesting is refused, not followed")
    func deepNesting() throws {
        let sql =
            "SELECT version(), " + String(repeating: "(SELECT ", count: 200) + "1"
            + String(repeating: ")", count: 200)
        let error = #expect(throws: PostgresError.self) { try BookDatabase().ask(sql) }
        #expect(error?.sqlState == .featureNotSupported)
    }

    @Test("Sessions ask one schema at the same time, each for itself")
    func concurrency() async throws {
        let schema = try BookDatabase().schema
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<16 {
                group.addTask {
                    let session = EmulatedSession(
                        user: "user\(number)", database: "app", settings: [:],
                        backendProcessID: Int32(number), serverVersion: "15.0")
                    let answer = try SessionQuestions.answer(
                        "SELECT rolname, pg_backend_pid() FROM pg_roles", parameters: [],
                        session: session, schema: schema)
                    return answer?.rows == [["user\(number)", String(number)]]
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    @Test(
        "Numbers at the edges are answered or refused, never a trap",
        arguments: [
            "SELECT pg_size_pretty((-9223372036854775808)::bigint)",
            "SELECT pg_size_pretty(9223372036854775807)",
            "SELECT * FROM generate_series(9223372036854775807, -9223372036854775807) s, pg_class",
            "SELECT * FROM generate_series(1, 2, 9223372036854775807) s, pg_class",
            "SELECT $2147483647 FROM pg_class", "SELECT $0 FROM pg_class",
            "SELECT indkey[9223372036854775807] FROM pg_index",
            "SELECT split_part('a', '', -9223372036854775808), version()",
            "SELECT pg_get_indexdef(4294967296, 9223372036854775807, true)",
            "SELECT format_type(23, -9223372036854775808), format_type(1700, 9223372036854775807)",
            "SELECT '{1,2'::int[]", "SELECT '[1'::int[]", "SELECT '{\"}'::text[]",
        ])
    func edges(_ sql: String) throws {
        let database = try BookDatabase()
        do {
            #expect(try database.ask(sql, []) != nil)
        } catch let error as PostgresError {
            #expect(error.sqlState != .syntaxError)
        }
    }
}
