import NIOCore
import PostgresWire
import ResultCache
import Testing
import Upstream

@testable import Session

/// When windows are open, and that none stays so.
@Suite("ClientSession windows")
struct ClientSessionWindowTests {
    private func writers(_ harness: SessionHarness) -> UInt64 {
        harness.cells.cell(.all(database: "db", relation: "t")).writersInFlight
            + harness.cells.cell(.schema(database: "db")).writersInFlight
    }

    private func execution(of sql: String) -> ByteBuffer {
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: sql).write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        return bytes
    }

    @Test("a write after COMMIT in the same segment commits by itself, and is covered")
    func writeAfterCommit() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("SELECT other t")
        let link = try harness.lastLink
        link.replyTag("BEGIN", status: .inBlock)
        link.replyRow("one", status: .inBlock)
        var bytes = execution(of: "COMMIT")
        bytes.writeImmutableBuffer(execution(of: "UPDATE t"))
        bytes.writeSync()
        try client.send(bytes)
        #expect(writers(harness) == 1)
        link.reply {
            for tag in ["COMMIT", "UPDATE 1"] {
                $0.writeParseComplete()
                $0.writeBindComplete()
                $0.writeCommandComplete(tag)
            }
            $0.writeReadyForQuery(.idle)
        }
        #expect(writers(harness) == 0)
    }

    @Test("a ROLLBACK, also to a savepoint, covers nothing and evicts nothing")
    func rollback() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        let all = harness.cells.cell(.all(database: "db", relation: "t"))
        try client.query("BEGIN")
        try client.query("UPDATE t")
        let link = try harness.lastLink
        link.replyTag("BEGIN", status: .inBlock)
        link.replyTag("UPDATE 1", status: .inBlock)
        for (sql, status) in [("ROLLBACK TO a", TransactionStatus.inBlock), ("ROLLBACK", .idle)] {
            try client.query(sql)
            #expect(writers(harness) == 0)
            link.replyTag("ROLLBACK", status: status)
        }
        #expect(all.version == 0)
    }

    @Test("a COPY whose first Sync the server ignores closes its window at the second")
    func extendedCopy() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "COPY t FROM STDIN")
        bytes.writeSync()
        try client.send(bytes)
        let link = try harness.lastLink
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeInteger(BackendTag.copyInResponse)
            $0.writeInteger(UInt32(7))
            $0.writeInteger(UInt8(0))
            $0.writeInteger(UInt16(0))
        }
        #expect(writers(harness) == 1)
        var end = ByteBuffer()
        end.writeInteger(FrontendTag.copyDone)
        end.writeInteger(UInt32(4))
        end.writeSync()
        try client.send(end)
        link.replyTag("COPY 1")
        #expect(writers(harness) == 0)
        #expect(try client.take() == ["1", "2", "G", "C COPY 1", "Z I"])
        try client.query("SELECT t")
        link.replyRow("one")
        _ = try (client.take(), link.takeSent())
        try client.query("SELECT t")
        #expect(try link.takeSent() == [])
    }

    @Test("a Query that the server skips, after an error and before the Sync, covers nothing")
    func skippedQuery() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "SELECT t")
        bytes.writeQuery("UPDATE t")
        try client.send(bytes)
        let link = try harness.lastLink
        #expect(writers(harness) == 1)
        link.reply { $0.writeErrorResponse(PostgresError("42601", "no")) }
        #expect(writers(harness) == 0)
        var sync = ByteBuffer()
        sync.writeSync()
        try client.send(sync)
        link.reply { $0.writeReadyForQuery(.idle) }
        #expect(try client.take() == ["E", "Z I"])
    }

    @Test("a block that the server did not begin ends the session, and its write was covered")
    func failedBegin() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("UPDATE t")
        let link = try harness.lastLink
        #expect(writers(harness) == 1)
        _ = try client.take()
        link.reply {
            $0.writeErrorResponse(PostgresError(.queryCanceled, "canceled"))
            $0.writeReadyForQuery(.idle)
        }
        #expect(try client.take() == ["E"])
        #expect(link.isClosed)
    }

    @Test("what was judged with settings that the server turns out not to have is not stored")
    func otherSettings() throws {
        let harness = SessionHarness()
        let first = try harness.client()
        try first.query("SELECT t")
        try harness.lastLink.replyRow("one")
        _ = try first.take()
        harness.upstream.isReadyAtOnce = false
        let client = try harness.client()
        try client.query("SELECT new t")
        let writer = try harness.client()
        try writer.query("UPDATE t")
        let schema = harness.cells.cell(.schema(database: "db"))
        #expect(schema.writersInFlight == 0)
        var greeting = harness.upstream.greeting
        greeting.settings["search_path"] = "elsewhere"
        for link in harness.upstream.links.dropFirst() {
            #expect(try link.takeSent() == [])
            link.becomeReady(greeting)
        }
        #expect(schema.writersInFlight == 1)
        try harness.lastLink.replyTag("UPDATE 1")
        let reader = harness.upstream.links[1]
        #expect(try reader.takeSent() == ["Q SELECT new t"])
        reader.replyRow("elsewhere")
        #expect(try client.take() == ["T", "D elsewhere", "C SELECT 1", "Z I"])
        #expect(harness.services.metrics.fillsStored.value == 1)
    }

    @Test("a link that ends within a ReadyForQuery leaves its window to the coordinator")
    func linkEndsWithinReady() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("UPDATE t")
        let link = try harness.lastLink
        link.reply {
            $0.writeCommandComplete("UPDATE 1")
            $0.writeInteger(BackendTag.readyForQuery)
        }
        link.lose()
        #expect(harness.services.metrics.unknownOutcomes.value == 1)
        #expect(writers(harness) == 1)
    }

    @Test("a client that goes within a ReadyForQuery leaves its window to the coordinator")
    func clientGoesWithinReady() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("UPDATE t")
        try harness.lastLink.reply {
            $0.writeCommandComplete("UPDATE 1")
            $0.writeInteger(BackendTag.readyForQuery)
        }
        client.channel.close(promise: nil)
        harness.loop.run()
        #expect(harness.services.metrics.unknownOutcomes.value == 1)
        #expect(writers(harness) == 1)
    }

    @Test("names after a ROLLBACK in the same text are not those of before it")
    func rollbackOfSetting() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("SET search_path")
        let link = try harness.lastLink
        link.replyTag("BEGIN", status: .inBlock)
        link.replyTag("SET", status: .inBlock)
        try client.query("ROLLBACK;UPDATE t")
        #expect(harness.cells.cell(.schema(database: "db")).writersInFlight == 1)
        link.reply {
            $0.writeCommandComplete("ROLLBACK")
            $0.writeCommandComplete("UPDATE 1")
            $0.writeReadyForQuery(.idle)
        }
        #expect(writers(harness) == 0)
    }
}
