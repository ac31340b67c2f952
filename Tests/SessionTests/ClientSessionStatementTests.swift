import NIOCore
import PostgresWire
import Testing

@testable import Session

/// Prepared statements whose Parse was answered from memory.
@Suite("ClientSession statements")
struct ClientSessionStatementTests {
    private let extendedRow = ["1", "2", "T", "D one", "C SELECT 1", "Z I"]

    /// A session that has prepared `s` without the upstream knowing.
    private func prepared(_ harness: SessionHarness) throws -> HarnessClient {
        let first = try harness.client()
        try first.execute("SELECT t", name: "s1")
        try harness.lastLink.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        let client = try harness.client()
        try client.execute("SELECT t", name: "s")
        #expect(try client.take() == extendedRow)
        #expect(harness.upstream.links.count == 1)
        return client
    }

    @Test("a statement is parsed upstream before settings change that its constants are read with")
    func parseBeforeSet() throws {
        let harness = SessionHarness()
        let client = try prepared(harness)
        try client.query("SET datestyle")
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["P SELECT t", "S", "Q SET datestyle"])
        link.reply {
            $0.writeParseComplete()
            $0.writeReadyForQuery(.idle)
        }
        link.replyTag("SET")
        #expect(try client.take() == ["C SET", "Z I"])
        // Its answer, constants read as they were at Parse, may be kept.
        try client.execute(nil, name: "s")
        link.reply {
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        #expect(harness.services.metrics.fillsStored.value == 2)
    }

    @Test("DEALLOCATE finds a statement that only the proxy knew, and others go on")
    func deallocate() throws {
        let harness = SessionHarness()
        let client = try prepared(harness)
        try client.query("DEALLOCATE s")
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["P SELECT t", "S", "Q DEALLOCATE s"])
        link.reply {
            $0.writeParseComplete()
            $0.writeReadyForQuery(.idle)
        }
        link.replyTag("DEALLOCATE")
        #expect(try client.take() == ["C DEALLOCATE", "Z I"])
        try client.execute("SELECT t", name: "s")
        #expect(try client.take() == extendedRow)
        #expect(try link.takeSent() == [])
    }

    @Test("a statement survives that its Parse upstream fails, because a transaction has failed")
    func failedInjection() throws {
        let harness = SessionHarness()
        let client = try prepared(harness)
        try client.query("UPDATE t")
        let link = try harness.lastLink
        link.replyTag("UPDATE 1")
        _ = try (client.take(), link.takeSent())
        for _ in 1...2 {
            try client.execute(nil, name: "s")
            #expect(try link.takeSent() == ["P SELECT t", "B", "D", "E", "S"])
            link.reply {
                $0.writeErrorResponse(PostgresError("25P02", "failed"))
                $0.writeReadyForQuery(.idle)
            }
            #expect(try client.take() == ["E", "Z I"])
        }
    }

    @Test("a reply is not stored for a portal that was bound anew to what the proxy does not know")
    func boundAnew() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: "SELECT t").write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        BindMessage(statement: "made by PREPARE").write(to: &bytes)
        DescribeMessage(target: .portal, name: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        bytes.writeSync()
        try client.send(bytes)
        try harness.lastLink.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeBindComplete()
            $0.writeRow("another")
            $0.writeReadyForQuery(.idle)
        }
        #expect(harness.services.metrics.fillsStored.value == 0)
    }

    @Test("what is parsed after a SET in its segment is not taken for parsed before it")
    func parseAfterSet() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: "SET datestyle").write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        ParseMessage(statement: "s", query: "SELECT t").write(to: &bytes)
        bytes.writeSync()
        try client.send(bytes)
        let link = try harness.lastLink
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeCommandComplete("SET")
            $0.writeParseComplete()
            $0.writeReadyForQuery(.idle)
        }
        try client.execute(nil, name: "s")
        link.reply {
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        #expect(harness.services.metrics.fillsStored.value == 0)
    }

    @Test("a reply in which the portal was described twice is nobody else's")
    func describedTwice() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: "SELECT t").write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        DescribeMessage(target: .portal, name: "").write(to: &bytes)
        DescribeMessage(target: .portal, name: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        bytes.writeSync()
        try client.send(bytes)
        let link = try harness.lastLink
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRowDescription([])
            $0.writeRowDescription([])
            $0.writeRow("one", described: false)
            $0.writeReadyForQuery(.idle)
        }
        #expect(harness.services.metrics.fillsStored.value == 0)
    }
}
