import PostgresWire
import Synchronization
import Testing

@testable import Upstream

@Suite("SQLite link: what other sessions see of a schema change") struct SQLiteSchemaChangeTests {
    private let schema = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')"

    /// A fixture with one reader, so that all sessions share its compiled statements.
    private func fixture() throws -> SQLiteFixture {
        try SQLiteFixture(schema) {
            $0.readers = 1
            $0.externalWriteCheck = .seconds(3_600)
        }
    }

    private static let changes: [(ddl: String, columns: String, row: String)] = [
        ("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7", "T a:int8,b:text,c:int8", "D 1|x|7"),
        ("ALTER TABLE t RENAME COLUMN b TO bb", "T a:int8,bb:text", "D 1|x"),
        ("ALTER TABLE t DROP COLUMN b", "T a:int8", "D 1"),
        (
            "DROP TABLE t; CREATE TABLE t (z TEXT, y INTEGER); INSERT INTO t VALUES ('n', 2)",
            "T z:text,y:int8", "D n|2"
        ),
        (
            "ALTER TABLE t RENAME TO old; CREATE TABLE t (b TEXT); INSERT INTO t VALUES ('w')",
            "T b:text", "D w"
        ),
        (
            "CREATE TABLE u (a TEXT, b TEXT); INSERT INTO u VALUES ('p', 'q'); DROP TABLE t; "
                + "ALTER TABLE u RENAME TO t",
            "T a:text,b:text", "D p|q"
        ),
    ]

    @Test("A simple query and a fresh Parse see the new columns", arguments: changes)
    func newColumns(_ change: (ddl: String, columns: String, row: String)) async throws {
        let fixture = try fixture()
        let writer = try await fixture.client()
        let reader = try await fixture.client()
        let sql = "SELECT * FROM t"
        for _ in 0..<2 {
            #expect(try await reader.query(sql).contains("D 1|x"))
            #expect(try await reader.extended(sql).contains("D 1|x"))
        }
        #expect(!kinds(try await writer.query(change.ddl)).contains { $0.hasPrefix("E") })
        #expect(
            try await reader.query(sql) == [change.columns, change.row, "C SELECT 1", "Z I"])
        #expect(
            try await reader.extended(sql) == [
                "1", "2", change.columns, change.row, "C SELECT 1", "Z I",
            ])
        #expect(try await writer.query(sql).contains(change.row))
        #expect(try await fixture.client().query(sql).contains(change.row))
    }

    @Test("A change by another process is seen before the periodic check has noticed it")
    func foreignChange() async throws {
        let fixture = try fixture()
        let client = try await fixture.client()
        let sql = "SELECT * FROM t"
        _ = try await client.query(sql)
        try fixture.runElsewhere("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7")
        #expect(
            try await client.query(sql) == [
                "T a:int8,b:text,c:int8", "D 1|x|7", "C SELECT 1", "Z I",
            ])
        try fixture.runElsewhere("ALTER TABLE t DROP COLUMN b")
        #expect(try await client.extended(sql).contains("D 1|7"))
        try fixture.runElsewhere("ALTER TABLE t ADD COLUMN d INTEGER DEFAULT 8")
        #expect(
            try await client.query("INSERT INTO t VALUES (2, 3, 4) RETURNING *").contains("D 2|3|4")
        )
    }

    @Test("A dropped table is gone for everyone, and its statements with it")
    func droppedTable() async throws {
        let fixture = try fixture()
        let writer = try await fixture.client()
        let reader = try await fixture.client()
        for sql in ["SELECT * FROM t", "SELECT count(*) FROM t", "DELETE FROM t WHERE a = 9"] {
            _ = try await reader.query(sql)
        }
        #expect(try await writer.query("DROP TABLE t") == ["C DROP TABLE", "Z I"])
        for sql in ["SELECT * FROM t", "SELECT count(*) FROM t", "DELETE FROM t WHERE a = 9"] {
            #expect(kinds(try await reader.query(sql)) == ["E 42P01", "Z I"])
            #expect(kinds(try await reader.extended(sql)) == ["E 42P01", "Z I"])
        }
        #expect(
            !(try await reader.query("SELECT table_name FROM information_schema.tables")).contains(
                "D t"))
    }

    @Test("A prepared statement fails when its columns changed, and goes on when they did not")
    func preparedStatements() async throws {
        let fixture = try fixture()
        let writer = try await fixture.client()
        let reader = try await fixture.client()
        reader.send { buffer in
            ParseMessage(statement: "all", query: "SELECT * FROM t").write(to: &buffer)
            ParseMessage(statement: "one", query: "SELECT a FROM t").write(to: &buffer)
            buffer.writeSync()
        }
        _ = try await reader.untilReady()
        _ = try await writer.query("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7")
        for (name, expected) in [
            ("all", ["E 0A000", "Z I"]), ("one", ["2", "D 1", "C SELECT 1", "Z I"]),
        ] {
            reader.send { buffer in
                BindMessage(statement: name).write(to: &buffer)
                ExecuteMessage(portal: "", maximumRows: 0).write(to: &buffer)
                buffer.writeSync()
            }
            #expect(kinds(try await reader.untilReady()) == expected)
        }
    }

    @Test("A snapshot keeps its schema, and nobody else is given it")
    func snapshot() async throws {
        let fixture = try SQLiteFixture(schema) {
            $0.externalWriteCheck = .seconds(3_600)
        }
        let writer = try await fixture.client()
        let old = try await fixture.client()
        let new = try await fixture.client()
        let sql = "SELECT * FROM t"
        _ = try await old.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1 FROM t")
        _ = try await writer.query("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7")
        for _ in 0..<2 {
            #expect(
                try await old.query(sql) == ["T a:int8,b:text", "D 1|x", "C SELECT 1", "Z T"])
            #expect(try await new.query(sql).contains("D 1|x|7"))
            #expect(
                !(try await old.query("SELECT column_name FROM information_schema.columns"))
                    .contains("D c"))
            #expect(
                try await new.query("SELECT column_name FROM information_schema.columns")
                    .contains("D c"))
        }
        _ = try await old.query("COMMIT")
        #expect(try await old.query(sql).contains("D 1|x|7"))
    }

    @Test("What a transaction changed and rolled back is seen by nobody")
    func rolledBackChange() async throws {
        let fixture = try fixture()
        let writer = try await fixture.client()
        let reader = try await fixture.client()
        let sql = "SELECT * FROM t"
        _ = try await writer.query(sql)
        _ = try await writer.query("BEGIN; ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7")
        #expect(try await writer.query(sql).contains("D 1|x|7"))
        #expect(try await reader.query(sql).contains("D 1|x"))
        _ = try await writer.query("ROLLBACK")
        #expect(try await writer.query(sql).contains("D 1|x"))
        try fixture.runElsewhere("ALTER TABLE t ADD COLUMN d TEXT DEFAULT 'e'")
        #expect(
            try await writer.query("UPDATE t SET a = 2 RETURNING *").contains("D 2|x|e"))
        #expect(try await reader.query(sql).contains("D 2|x|e"))
    }

    @Test("The profile of a view follows the view's new definition")
    func redefinedView() async throws {
        let fixture = try SQLiteFixture(
            "CREATE TABLE t (a INTEGER); CREATE TABLE u (a INTEGER); "
                + "CREATE VIEW v AS SELECT a FROM t")
        let client = try await fixture.client()
        let sql = "SELECT a FROM v"
        #expect(await fixture.profile(sql).first?.readSet.map(\.name) == ["t"])
        _ = try await client.query("DROP VIEW v; CREATE VIEW v AS SELECT a FROM u")
        // Another connection is the first to ask for the new schema.
        _ = try await client.query("SELECT a FROM u")
        #expect(await fixture.profile(sql).first?.readSet.map(\.name) == ["u"])
    }

    @Test("While the columns change all the time every answer is of one schema, and none fails")
    func concurrentChanges() async throws {
        let fixture = try SQLiteFixture(schema) {
            $0.externalWriteCheck = .milliseconds(1)
            $0.lockTimeout = .seconds(60)
        }
        let narrow = ["T a:int8,b:text", "D 1|x", "C SELECT 1", "Z I"]
        let wide = ["T a:int8,b:text,c:int8", "D 1|x|7", "C SELECT 1", "Z I"]
        let isDone = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { isDone.set() }
                let writer = try await fixture.client()
                for round in 0..<60 {
                    for ddl in [
                        "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7",
                        "ALTER TABLE t DROP COLUMN c",
                    ] {
                        if round % 3 == 0 {
                            try fixture.runElsewhere(ddl)
                        } else {
                            try #require(
                                try await writer.query(ddl) == ["C ALTER TABLE", "Z I"])
                        }
                    }
                }
            }
            for _ in 0..<3 {
                group.addTask {
                    let reader = try await fixture.client()
                    while !isDone.isSet {
                        let simple = try await reader.query("SELECT * FROM t")
                        try #require(simple == narrow || simple == wide, "\(simple)")
                        // Between the Parse and the Execute it may change, which is an error.
                        let extended = try await reader.extended("SELECT * FROM t")
                        if kinds(extended).contains("E 0A000") { continue }
                        try #require(
                            extended == ["1", "2"] + narrow || extended == ["1", "2"] + wide,
                            "\(extended)")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

/// Set once, read by many.
private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}
