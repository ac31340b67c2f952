import Foundation
import Testing

@testable import Upstream

@Suite("SQLite upstream: other processes' commits, before an answer from memory")
struct CommitWatchTests {
    private static let schema = """
        CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, 0)
        """

    /// A fixture with its watch, and everything so far confirmed.
    private func watched() throws -> (SQLiteFixture, CommitWatch) {
        let fixture = try SQLiteFixture(Self.schema)
        let watch = try #require(fixture.upstream.commitWatch)
        #expect(watch.seesNothingNew())
        return (fixture, watch)
    }

    @Test("A commit elsewhere is seen at once, and nothing is served until its cells have moved")
    func foreignCommit() async throws {
        let (fixture, watch) = try watched()
        for value in 1...500 {
            let schema = fixture.schemaCell.version
            try fixture.runElsewhere("UPDATE t SET v = \(value)")
            // Either it has been dealt with already, or nothing may be served.
            let isConfirmed = watch.seesNothingNew()
            #expect(!isConfirmed || fixture.schemaCell.version > schema)
            try await confirmed(watch)
            #expect(fixture.schemaCell.version > schema)
        }
    }

    @Test("What a rollback elsewhere leaves behind is nothing")
    func foreignRollback() async throws {
        let (fixture, watch) = try watched()
        let schema = fixture.schemaCell.current
        try fixture.runElsewhere("BEGIN IMMEDIATE; UPDATE t SET v = 1; ROLLBACK")
        #expect(watch.seesNothingNew())
        try await fixture.upstream.checkReachable()
        #expect(fixture.schemaCell.current == schema)
    }

    @Test("A commit of the proxy's own is confirmed before its client hears of it")
    func ownCommit() async throws {
        let (fixture, watch) = try watched()
        let client = try await fixture.client()
        _ = await fixture.profile("UPDATE t SET v = v + 1")
        let schema = fixture.schemaCell.current
        for _ in 0..<200 {
            #expect(try await client.query("UPDATE t SET v = v + 1") == ["C UPDATE 1", "Z I"])
            #expect(watch.seesNothingNew())
        }
        #expect(fixture.schemaCell.current == schema)
    }

    @Test("While a transaction of the proxy's own is open, what is in memory stays servable")
    func openTransaction() async throws {
        let (fixture, watch) = try watched()
        let client = try await fixture.client()
        _ = try await client.query("BEGIN; UPDATE t SET v = 1")
        #expect(watch.seesNothingNew())
        _ = try await client.query("ROLLBACK")
        #expect(watch.seesNothingNew())
    }

    @Test("Commits elsewhere between the proxy's own are told apart from them")
    func interleaved() async throws {
        let (fixture, watch) = try watched()
        let client = try await fixture.client()
        _ = await fixture.profile("UPDATE t SET v = v + 1")
        for _ in 0..<100 {
            _ = try await client.query("UPDATE t SET v = v + 1")
            let schema = fixture.schemaCell.version
            try fixture.runElsewhere("UPDATE t SET v = v + 1")
            // The write looks first: its own window does not cover what came before it.
            _ = try await client.query("UPDATE t SET v = v + 1")
            #expect(fixture.schemaCell.version == schema + 1)
            #expect(watch.seesNothingNew())
        }
        #expect(try await client.query("SELECT v FROM t").contains("D 300"))
    }

    @Test("A change of the schema elsewhere moves the catalog's cell before it is confirmed")
    func foreignSchemaChange() async throws {
        let (fixture, watch) = try watched()
        let catalog = fixture.catalogCell.version
        try fixture.runElsewhere("ALTER TABLE t ADD COLUMN w INTEGER")
        try await confirmed(watch)
        #expect(fixture.catalogCell.version > catalog)
    }

    @Test(
        "Checkpoints and VACUUM elsewhere are noticed at most",
        arguments: ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint(RESTART)", "VACUUM"])
    func maintenance(_ sql: String) async throws {
        let (fixture, watch) = try watched()
        let client = try await fixture.client()
        _ = try await client.query("UPDATE t SET v = 7")
        try fixture.runElsewhere(sql)
        try await confirmed(watch)
        let schema = fixture.schemaCell.version
        try fixture.runElsewhere("UPDATE t SET v = 8")
        try await confirmed(watch)
        #expect(fixture.schemaCell.version > schema)
        #expect(try await client.query("SELECT v FROM t").contains("D 8"))
    }

    @Test("The file cannot leave the mode that the watch depends on while it is watched")
    func otherJournalMode() async throws {
        let (fixture, watch) = try watched()
        #expect(throws: (any Error).self) {
            try fixture.runElsewhere("PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE")
        }
        try fixture.runElsewhere("UPDATE t SET v = 1")
        try await confirmed(watch)
    }

    @Test("With an interval there is no watch: commits are looked for on a timer")
    func interval() throws {
        let fixture = try SQLiteFixture(Self.schema) { $0.externalWriteCheck = .milliseconds(20) }
        #expect(fixture.upstream.commitWatch == nil)
    }

    @Test("A database outside WAL mode has no watch")
    func rollbackJournal() throws {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("journal-\(UUID().uuidString).db").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try SQLiteFixture.run("CREATE TABLE t (v)", at: path)
        #expect(try CommitWatch(path: path, busyTimeout: .seconds(1)) == nil)
    }

    @Test(
        "A file on a network's file system is refused, by its magic number",
        arguments: [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xEF53, nil), (0x0102_1994, nil)]
            as [(UInt32, String?)])
    func networkFileSystem(_ magic: UInt32, _ name: String?) {
        #expect(FileSystem.networkName(ofMagic: magic) == name)
    }

    /// Waits until the look that an unconfirmed commit asks for has been done.
    private func confirmed(_ watch: CommitWatch) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !watch.seesNothingNew() {
            try #require(ContinuousClock.now < deadline, "never confirmed")
            await Task.yield()
        }
    }
}
