import Foundation
import Logging
import PostgresWire
import ResultCache
import SQLAnalysis
import Testing

@testable import Upstream

@Suite("SQLite upstream: the file and its other users") struct SQLiteUpstreamTests {
    @Test("A missing file is refused with what to do, and is not created")
    func missingFile() {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("missing-\(UUID().uuidString).db").path
        #expect {
            try SQLiteUpstream(path: path, cells: CellTable(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        } throws: { error in
            (error as? PostgresError)?.message.contains("does not exist") == true
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("A file that is no database is refused")
    func notADatabase() throws {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("text-\(UUID().uuidString).db").path
        try Data(repeating: 0x41, count: 5_000).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: PostgresError.self) {
            try SQLiteUpstream(path: path, cells: CellTable(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }
    }

    @Test("The greeting is a PostgreSQL 15 server's")
    func greeting() async throws {
        let client = try await SQLiteFixture().client(
            parameters: [
                .init(name: "application_name", value: "psql"),
                .init(name: "options", value: "-c statement_timeout=5s -csearch_path=a\\ b"),
            ])
        let greeting = try await client.greetingValue
        let statuses = Dictionary(
            uniqueKeysWithValues: greeting.parameterStatuses.map { ($0.name, $0.value) })
        #expect(statuses["server_version"] == "15.0")
        #expect(statuses["client_encoding"] == "UTF8")
        #expect(statuses["DateStyle"] == "ISO, MDY")
        #expect(statuses["application_name"] == "psql")
        #expect(statuses["session_authorization"] == "alice")
        #expect(greeting.settings["default_transaction_isolation"] == "read committed")
        // Of the others no answer depends, and what a mirror asks for must be the same.
        #expect(Set(greeting.settings.keys).isSubset(of: SettingsProbe.settingNames))
        #expect(greeting.settings["search_path"] == "a b")
        #expect(greeting.backendKey != nil)
    }

    @Test(
        "An encoding's name is compared by its letters and digits, as PostgreSQL does",
        arguments: ["'utf-8'", "UTF_8", "utf8", "Unicode", "\"UTF-8\""])
    func encodingNames(_ name: String) async throws {
        let fixture = try SQLiteFixture()
        let client = try await fixture.client(
            parameters: [.init(name: "client_encoding", value: name)])
        let greeting = try await client.greetingValue
        #expect(
            greeting.parameterStatuses.contains(.init(name: "client_encoding", value: "UTF8")))
        let literal = name.replacing("'", with: "''")
        #expect(
            try await client.query("SET client_encoding = '\(literal)'") == ["C SET", "Z I"])
        await #expect(throws: PostgresError.self) {
            _ = try await fixture.client(
                parameters: [.init(name: "client_encoding", value: "LATIN1")])
        }
    }

    @Test("Any other database name is refused: cached answers go by the name")
    func otherDatabase() async throws {
        let fixture = try SQLiteFixture()
        await #expect {
            _ = try await fixture.client(database: "other")
        } throws: { error in
            (error as? PostgresError)?.sqlState == "3D000"
        }
    }

    @Test(
        "A commit by another process moves the schema cell, and only its schema changes the catalog's"
    )
    func foreignWrite() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)")
        let client = try await fixture.client()
        _ = try await client.query("SELECT a FROM t")
        let schema = fixture.schemaCell.current
        let catalog = fixture.catalogCell.current
        try fixture.runElsewhere("INSERT INTO t VALUES (1)")
        try await untilTrue(client) { fixture.schemaCell.current != schema }
        #expect(fixture.catalogCell.current == catalog)
        #expect(try await client.query("SELECT a FROM t").contains("D 1"))
        try fixture.runElsewhere("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x'")
        try await untilTrue(client) { fixture.catalogCell.current != catalog }
        #expect(try await client.query("SELECT * FROM t").contains("D 1|x"))
    }

    @Test("Commits of other processes are noticed while no link is open, too")
    func foreignWriteWithoutLinks() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)")
        let client = try await fixture.client()
        _ = try await client.query("SELECT a FROM t")
        try await client.close()
        let schema = fixture.schemaCell.current
        try fixture.runElsewhere("INSERT INTO t VALUES (1)")
        let deadline = ContinuousClock.now + .seconds(20)
        while fixture.schemaCell.current == schema {
            try #require(ContinuousClock.now < deadline, "the change was not noticed")
            await Task.yield()
        }
        await fixture.upstream.shutDown()
    }

    @Test("A lock that another process keeps is an error after the busy timeout")
    func foreignLock() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)") {
            $0.busyTimeout = .milliseconds(100)
        }
        let client = try await fixture.client()
        let holder = try SQLiteConnection(
            path: fixture.path, readOnly: false, busyTimeout: .seconds(1))
        try holder.execute("BEGIN IMMEDIATE")
        #expect(kinds(try await client.query("INSERT INTO t VALUES (1)")) == ["E 55P03", "Z I"])
        try holder.execute("COMMIT")
        #expect(try await client.query("INSERT INTO t VALUES (1)") == ["C INSERT 0 1", "Z I"])
    }

    @Test("A commit of the proxy's own does not look like a foreign one")
    func ownWrite() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)")
        let client = try await fixture.client()
        let sql = "INSERT INTO t VALUES (1)"
        _ = await fixture.profile(sql)
        let schema = fixture.schemaCell.current
        _ = try await client.query(sql)
        try await fixture.upstream.checkReachable()
        #expect(fixture.schemaCell.current == schema)
    }

    @Test("A write that no profile had foretold moves the schema cell around its commit")
    func unforetoldWrite() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER); CREATE TABLE u (a INTEGER)")
        let client = try await fixture.client()
        let sql = "INSERT INTO t VALUES (1)"
        _ = await fixture.profile(sql)
        // The trigger makes the profile that the session may still hold too small.
        _ = try await client.query(
            "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); END")
        let schema = fixture.schemaCell.version
        _ = try await client.query(sql)
        #expect(fixture.schemaCell.version > schema)
        #expect(fixture.schemaCell.writersInFlight == 0)
    }

    @Test("A replaced file is noticed")
    func replacedFile() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)")
        let client = try await fixture.client()
        _ = try await client.query("SELECT a FROM t")
        let catalog = fixture.catalogCell.current
        let other = fixture.directory.appendingPathComponent("other.db").path
        try SQLiteFixture.run("CREATE TABLE z (a)", at: other)
        #expect(rename(other, fixture.path) == 0)
        try await untilTrue(client) { fixture.catalogCell.current != catalog }
        let replies = try await client.query("INSERT INTO t VALUES (1)")
        #expect(kinds(replies) == ["E 58030", "Z I"])
    }

    @Test("Many sessions that increment one row lose no update")
    func concurrentIncrements() async throws {
        let fixture = try SQLiteFixture(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 0)"
        ) {
            // The turns of eight sessions on a loaded machine; not what is tested here.
            $0.lockTimeout = .seconds(60)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let client = try await fixture.client()
                    for _ in 0..<20 {
                        let replies = try await client.query(
                            "BEGIN; SELECT n FROM t FOR UPDATE; UPDATE t SET n = n + 1; COMMIT")
                        try #require(replies.last == "Z I", "\(replies)")
                    }
                    try await client.close()
                }
            }
            try await group.waitForAll()
        }
        let client = try await fixture.client()
        #expect(try await client.query("SELECT n FROM t").contains("D 160"))
    }

    @Test("VACUUM runs, and what was cached before it is stale: rowids may have moved")
    func vacuum() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)")
        let client = try await fixture.client()
        let schema = fixture.schemaCell.version
        #expect(try await client.query("VACUUM") == ["C VACUUM", "Z I"])
        #expect(fixture.schemaCell.version > schema)
        #expect(try await client.query("VACUUM ANALYZE t; SELECT 1 AS one").contains("D 1"))
        #expect(kinds(try await client.query("BEGIN; VACUUM")) == ["C BEGIN", "E 25001", "Z E"])
    }

    @Test("A session that is read only by default refuses writes")
    func readOnlyDefault() async throws {
        let client = try await SQLiteFixture("CREATE TABLE t (a INTEGER)").client()
        _ = try await client.query("SET default_transaction_read_only = on")
        #expect(kinds(try await client.query("INSERT INTO t VALUES (1)")) == ["E 25006", "Z I"])
        #expect(
            kinds(try await client.query("BEGIN; DELETE FROM t")) == ["C BEGIN", "E 25006", "Z E"])
        _ = try await client.query("ROLLBACK; BEGIN READ WRITE")
        #expect(try await client.query("INSERT INTO t VALUES (1)") == ["C INSERT 0 1", "Z T"])
    }

    @Test("Questions about the session are answered")
    func sessionQuestions() async throws {
        let client = try await SQLiteFixture().client()
        #expect(try await client.query("SELECT current_user").contains("D alice"))
        #expect(try await client.query("SELECT current_database()").contains("D shop"))
        #expect(
            try await client.extended("SELECT current_setting($1)", ["server_version"]).contains(
                "D 15.0"))
    }

    /// Waits until the periodic check has noticed something; a limit ends a failing test.
    private func untilTrue(
        _ client: SQLiteClient, _ condition: @Sendable () -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition() {
            try #require(ContinuousClock.now < deadline, "the change was not noticed")
            // A round trip, rather than a spin; it does not look for foreign commits itself.
            _ = try await client.query("SELECT 1 AS one")
        }
    }
}
