import NIOCore
import PostgresWire
import ResultCache
import Testing

@testable import Session

/// Whole sessions against an upstream whose every reply the test decides.
@Suite("ClientSession")
struct ClientSessionTests {
    private let row = ["T", "D one", "C SELECT 1", "Z I"]

    @Test("a repeated query is answered without the upstream")
    func hit() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["Q SELECT t"])
        link.replyRow("one")
        #expect(try client.take() == row)
        try client.query("SELECT t")
        #expect(try client.take() == row)
        #expect(try link.takeSent() == [])
        #expect(harness.services.metrics.cacheHits.value == 1)
    }

    @Test("another session of the same kind hits without any upstream connection")
    func hitWithoutLink() throws {
        let harness = SessionHarness()
        let first = try harness.client()
        try first.query("SELECT t")
        try harness.lastLink.replyRow("one")
        let second = try harness.client()
        try second.query("SELECT t")
        #expect(try second.take() == row)
        #expect(harness.upstream.links.count == 1)
    }

    @Test("a reply overtaken by a write is passed on and not stored")
    func staleFill() throws {
        let harness = SessionHarness()
        let reader = try harness.client()
        try reader.query("SELECT t")
        let readerLink = try harness.lastLink
        let writer = try harness.client()
        try writer.query("UPDATE t")
        try harness.lastLink.replyTag("UPDATE 1")
        #expect(try writer.take() == ["C UPDATE 1", "Z I"])
        readerLink.replyRow("old")
        #expect(try reader.take() == ["T", "D old", "C SELECT 1", "Z I"])
        _ = try readerLink.takeSent()
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
    }

    @Test("while a write is on its way its table is not answered from memory, and afterwards anew")
    func window() throws {
        let harness = SessionHarness()
        let reader = try harness.client()
        try reader.query("SELECT t")
        let readerLink = try harness.lastLink
        readerLink.replyRow("one")
        _ = try (reader.take(), readerLink.takeSent())
        let writer = try harness.client()
        try writer.query("UPDATE t")
        let writerLink = try harness.lastLink
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
        readerLink.replyRow("one")
        _ = try reader.take()
        writerLink.replyTag("UPDATE 1")
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
    }

    @Test("a write that failed evicts nothing")
    func failedWrite() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.replyRow("one")
        try client.query("UPDATE t")
        link.reply {
            $0.writeErrorResponse(PostgresError("23505", "duplicate"))
            $0.writeReadyForQuery(.idle)
        }
        _ = try (client.take(), link.takeSent())
        try client.query("SELECT t")
        #expect(try client.take() == row)
        #expect(try link.takeSent() == [])
    }

    @Test("a write in a block is covered from its COMMIT on, not before")
    func block() throws {
        let harness = SessionHarness()
        let reader = try harness.client()
        try reader.query("SELECT t")
        let readerLink = try harness.lastLink
        readerLink.replyRow("one")
        _ = try (reader.take(), readerLink.takeSent())

        let writer = try harness.client()
        try writer.query("BEGIN")
        #expect(try writer.take() == ["C BEGIN", "Z T"])
        try writer.query("UPDATE t")
        let writerLink = try harness.lastLink
        #expect(try writerLink.takeSent() == ["Q BEGIN", "Q UPDATE t"])
        writerLink.replyTag("BEGIN", status: .inBlock)
        writerLink.replyTag("UPDATE 1", status: .inBlock)
        #expect(try writer.take() == ["C UPDATE 1", "Z T"])
        // Uncommitted: others still hit, the writer itself does not.
        try reader.query("SELECT t")
        #expect(try reader.take() == row)
        try writer.query("SELECT t")
        #expect(try writerLink.takeSent() == ["Q SELECT t"])
        writerLink.replyRow("two", status: .inBlock)
        _ = try writer.take()

        try writer.query("COMMIT")
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
        readerLink.replyRow("one")
        writerLink.replyTag("COMMIT")
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
    }

    @Test("a block of hits never reaches the upstream")
    func lazyBlock() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.replyRow("one")
        _ = try (client.take(), link.takeSent())
        try client.query("BEGIN")
        try client.query("SELECT t")
        try client.query("COMMIT")
        #expect(
            try client.take() == [
                "C BEGIN", "Z T", "T", "D one", "C SELECT 1", "Z T", "C COMMIT", "Z I",
            ])
        #expect(try link.takeSent() == [])
    }

    @Test("a connection lost during a write keeps its table out of the cache until there is proof")
    func unknownOutcome() async throws {
        let harness = SessionHarness()
        let reader = try harness.client()
        try reader.query("SELECT t")
        let readerLink = try harness.lastLink
        readerLink.replyRow("one")
        _ = try (reader.take(), readerLink.takeSent())
        let writer = try harness.client()
        try writer.query("UPDATE t")
        try harness.lastLink.lose()
        #expect(try writer.take() == ["E"])
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
        readerLink.replyRow("one")
        try reader.query("SELECT t")
        #expect(try readerLink.takeSent() == ["Q SELECT t"])
        readerLink.replyRow("two")
        #expect(harness.services.metrics.unknownOutcomes.value == 1)
    }

    @Test("a catalog change holds the cache off until windows decided from the old one have closed")
    func holdover() throws {
        let harness = SessionHarness()
        let slow = try harness.client()
        try slow.query("UPDATE t")
        let slowLink = try harness.lastLink
        let ddl = try harness.client()
        try ddl.query("DDL")
        try harness.lastLink.replyTag("DDL")
        let schema = harness.cells.cell(.schema(database: "db"))
        #expect(schema.writersInFlight == 1)
        slowLink.replyTag("UPDATE 1")
        #expect(schema.writersInFlight == 0)
    }

    @Test("the extended protocol hits, and Parse is injected where a later miss needs it")
    func extended() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.execute("SELECT t", name: "s1")
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["P SELECT t", "B", "D", "E", "S"])
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        let reply = ["1", "2", "T", "D one", "C SELECT 1", "Z I"]
        #expect(try client.take() == reply)

        let other = try harness.client()
        try other.execute("SELECT t", name: "s2")
        #expect(try other.take() == reply)
        #expect(harness.upstream.links.count == 1)
        // The same statement must now run upstream, which has never seen its Parse.
        let writer = try harness.client()
        try writer.query("UPDATE t")
        try harness.lastLink.replyTag("UPDATE 1")
        try other.execute(nil, name: "s2")
        let otherLink = try harness.lastLink
        #expect(try otherLink.takeSent() == ["P SELECT t", "B", "D", "E", "S"])
        otherLink.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("two")
            $0.writeReadyForQuery(.idle)
        }
        #expect(try other.take() == ["2", "T", "D two", "C SELECT 1", "Z I"])
    }

    @Test("a segment is answered from memory whole or not at all")
    func wholeSegments() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.replyRow("one")
        _ = try (client.take(), link.takeSent())
        var bytes = ByteBuffer()
        for sql in ["SELECT t", "SELECT other t"] {
            ParseMessage(statement: "", query: sql).write(to: &bytes)
            BindMessage(statement: "").write(to: &bytes)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        }
        bytes.writeSync()
        try client.send(bytes)
        #expect(
            try link.takeSent() == [
                "P SELECT t", "B", "E", "P SELECT other t", "B", "E", "S",
            ])
        #expect(try client.take() == [])
    }

    @Test("identical misses share one execution, and a follower runs alone if the leader fails")
    func singleFlight() throws {
        let harness = SessionHarness()
        let leader = try harness.client()
        let follower = try harness.client()
        try leader.query("SELECT t")
        let link = try harness.lastLink
        try follower.query("SELECT t")
        #expect(harness.upstream.links.count == 1)
        link.replyRow("one")
        #expect(try leader.take() == row)
        #expect(try follower.take() == row)

        try leader.query("SELECT new t")
        try follower.query("SELECT new t")
        link.reply {
            $0.writeErrorResponse(PostgresError("57014", "canceled"))
            $0.writeReadyForQuery(.idle)
        }
        #expect(try leader.take() == ["E", "Z I"])
        #expect(try harness.lastLink.takeSent() == ["Q SELECT new t"])
        #expect(harness.upstream.links.count == 2)
    }

    @Test("settings are part of the key from their confirmation on")
    func settings() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.replyRow("one")
        try client.query("SET search_path")
        link.replyTag("SET")
        _ = try (client.take(), link.takeSent())
        try client.query("SELECT t")
        #expect(try link.takeSent() == ["Q SELECT t"])
        link.replyRow("two")
        #expect(try client.take() == ["T", "D two", "C SELECT 1", "Z I"])
    }

    @Test("after something opaque the settings are asked for before a read may hit again")
    func probing() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.replyRow("one")
        try client.query("DO")
        link.replyTag("DO")
        harness.catalogReloaded()
        _ = try (client.take(), link.takeSent())
        try client.query("SELECT t")
        #expect(try link.takeSent() == ["Q PROBE"])
        link.reply {
            for (name, value) in [
                ("search_path", "elsewhere"), ("mynah.temporary_objects", "f"),
            ] {
                $0.writeDataRow(columnCount: 2) {
                    $0.writeDataRowText(name)
                    $0.writeDataRowText(value)
                }
            }
            $0.writeCommandComplete("SELECT 2")
            $0.writeReadyForQuery(.idle)
        }
        #expect(try link.takeSent() == ["Q SELECT t"])
        link.replyRow("two")
        let answer = ["T", "D two", "C SELECT 1", "Z I"]
        #expect(try client.take() == answer)
        // Known again, under the settings that were found: the same query hits.
        try client.query("SELECT t")
        #expect(try client.take() == answer)
        #expect(try link.takeSent() == [])
    }

    @Test("a FATAL error of the server's own is the last thing that the client is told")
    func fatal() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        let link = try harness.lastLink
        link.reply {
            $0.writeErrorResponse(
                PostgresError(.adminShutdown, "terminating connection", severity: .fatal))
        }
        link.lose()
        #expect(try client.take() == ["E"])
        #expect(!client.channel.isActive)
    }

    @Test("a FATAL answer to the proxy's own BEGIN is not kept from the client")
    func fatalBegin() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("UPDATE t")
        _ = try client.take()
        let link = try harness.lastLink
        link.reply {
            $0.writeErrorResponse(
                PostgresError(.adminShutdown, "terminating connection", severity: .fatal))
        }
        link.lose()
        #expect(try client.take() == ["E"])
        #expect(!client.channel.isActive)
    }

    @Test("an idle session survives the loss of its upstream connection")
    func reconnects() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("SELECT t")
        try harness.lastLink.replyRow("one")
        _ = try client.take()
        try harness.lastLink.lose()
        try client.query("UPDATE t")
        #expect(harness.upstream.links.count == 2)
        try harness.lastLink.replyTag("UPDATE 1")
        #expect(try client.take() == ["C UPDATE 1", "Z I"])
    }
}
