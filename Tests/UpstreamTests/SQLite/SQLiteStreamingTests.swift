import NIOCore
import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite link: large results, cancelling and limits") struct SQLiteStreamingTests {
    private let counting = """
        WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $LIMIT)
        """

    private func rows(_ limit: Int) -> String {
        counting.replacing("$LIMIT", with: String(limit))
            + " SELECT n, '0123456789012345678901234567890123456789' AS filler FROM c"
    }

    @Test("A large result arrives whole and in order")
    func largeResult() async throws {
        let client = try await SQLiteFixture().client()
        let replies = try await client.query(rows(20_000))
        try #require(replies.count == 20_003)
        #expect(replies[20_000].hasPrefix("D 20000|"))
        #expect(replies[20_001] == "C SELECT 20000")
    }

    @Test("A paused session stops the statement after the limit, and gets the rest when it resumes")
    func backPressure() async throws {
        let fixture = try SQLiteFixture { $0.replyLimit = 128 << 10 }
        let slow = try await fixture.client()
        slow.setPaused(true)
        slow.send { [sql = rows(20_000)] in $0.writeQuery(sql) }
        // All base readers stay free for others although this one's is taken.
        let others = try await withThrowingTaskGroup(of: SQLiteClient.self) { group in
            for _ in 0..<4 { group.addTask { try await fixture.client() } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for other in others {
            #expect(try await other.query("SELECT 1 AS one").contains("D 1"))
        }
        #expect(try await slow.byteCount == 0)
        slow.setPaused(false)
        let replies = try await slow.untilReady()
        #expect(replies.count == 20_003)
    }

    @Test("A cancel ends the running statement of its own link alone")
    func cancel() async throws {
        let fixture = try SQLiteFixture()
        let victim = try await fixture.client()
        let other = try await fixture.client()
        let endless = counting.replacing("$LIMIT", with: "1000000000000")
        // It has begun when its first rows are there.
        victim.send { $0.writeQuery(endless + " SELECT n FROM c") }
        try await victim.waitForReply("D 1")
        other.cancel()
        victim.cancel()
        let replies = try await victim.untilReady()
        #expect(replies.suffix(2).map { String($0.prefix(7)) } == ["E 57014", "Z I"])
        #expect(try await victim.query("SELECT 1 AS one").contains("D 1"))
        #expect(try await other.query("SELECT 1 AS one").contains("D 1"))
    }

    @Test("statement_timeout ends a statement that runs too long")
    func statementTimeout() async throws {
        let client = try await SQLiteFixture().client()
        _ = try await client.query("SET statement_timeout = 20")
        let endless = counting.replacing("$LIMIT", with: "1000000000000")
        let replies = try await client.query(endless + " SELECT count(*) FROM c")
        #expect(kinds(replies).contains("E 57014"))
        #expect(replies.contains { $0.contains("statement timeout") })
    }

    @Test("A link that closes in the middle of a statement frees its reader and the writer")
    func closeWhileRunning() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)") {
            $0.readers = 1
            $0.maximumReaders = 1
        }
        let victim = try await fixture.client()
        let endless = counting.replacing("$LIMIT", with: "1000000000000")
        victim.send { $0.writeQuery("BEGIN; INSERT INTO t VALUES (1); \(endless) SELECT n FROM c") }
        try await victim.waitForReply("D 1")
        try await victim.close()
        let other = try await fixture.client()
        #expect(try await other.query("INSERT INTO t VALUES (2)") == ["C INSERT 0 1", "Z I"])
        #expect(try await other.query("SELECT a FROM t").contains("D 2"))
        #expect(try await other.query("SELECT a FROM t").contains("C SELECT 1"))
    }

    @Test("An unfinished portal with too many rows left refuses the next statement")
    func portalLimit() async throws {
        let fixture = try SQLiteFixture { $0.portalBufferLimit = 1_000 }
        let client = try await fixture.client()
        _ = try await client.query("BEGIN")
        client.send { [sql = rows(1_000)] buffer in
            ParseMessage(statement: "", query: sql).write(to: &buffer)
            BindMessage(portal: "c").write(to: &buffer)
            ExecuteMessage(portal: "c", maximumRows: 1).write(to: &buffer)
            buffer.writeSync()
        }
        _ = try await client.untilReady()
        #expect(
            kinds(try await client.query("SELECT count(*) FROM sqlite_schema")) == [
                "E 54000", "Z E",
            ])
    }

    @Test("Snapshots beyond the readers there may be are refused")
    func snapshotLimit() async throws {
        let fixture = try SQLiteFixture("CREATE TABLE t (a INTEGER)") {
            $0.readers = 1
            $0.maximumReaders = 2
        }
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM t"
        let first = try await fixture.client()
        let second = try await fixture.client()
        #expect(try await first.query(begin).contains("C SELECT 1"))
        #expect(kinds(try await second.query(begin)).contains("E 53300"))
        _ = try await second.query("ROLLBACK")
        _ = try await first.query("COMMIT")
        #expect(try await second.query(begin).contains("C SELECT 1"))
    }

    @Test("Requests that pile up stop the client until they are worked off")
    func writability() async throws {
        let fixture = try SQLiteFixture { $0.requestLimit = 10_000 }
        let client = try await fixture.client()
        client.send { buffer in
            for _ in 0..<1_000 { buffer.writeQuery("SELECT 1 AS one") }
        }
        let replies = try await client.untilReady(1_000)
        #expect(replies.count == 4_000)
        #expect(try await client.writabilityChanges == [false, true])
    }

    @Test("A message that is out of step ends the link with a fatal error")
    func protocolViolation() async throws {
        let client = try await SQLiteFixture().client()
        client.send { $0.writeBytes([0x51, 0, 0, 0, 1]) }
        try await client.wait { client.closedWithNow != nil }
        let error = try #require(try await client.closeReason)
        #expect(error.sqlState == .protocolViolation)
        #expect(error.severity == .fatal)
    }
}
