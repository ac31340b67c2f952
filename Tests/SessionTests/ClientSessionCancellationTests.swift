import NIOCore
import PostgresWire
import Testing

@testable import Session

/// A CancelRequest ends the statement that its client waits for, wherever that is, and no other.
@Suite("ClientSession cancels")
struct ClientSessionCancellationTests {
    @Test("a statement cancelled while it waits is not answered ahead of what is still owed")
    func cancelBehindOthers() throws {
        let harness = SessionHarness()
        let (leader, client) = (try harness.client(), try harness.client())
        try leader.execute("SELECT t")
        try client.query("UPDATE other")
        let link = try harness.lastLink
        link.replyTag("UPDATE 1")
        _ = try client.take()
        try client.query("SELECT other t")
        try client.query("SELECT t")
        try client.cancel()
        #expect(try client.take() == [])
        #expect(link.cancellations == 1)
    }

    @Test("a statement asked for with a Flush and cancelled while it waits is cancelled upstream")
    func cancelAtFlush() throws {
        let harness = SessionHarness()
        let (leader, client) = (try harness.client(), try harness.client())
        try leader.execute("SELECT t")
        let leadingLink = try harness.lastLink
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: "SELECT t").write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        bytes.writeFlush()
        try client.send(bytes)
        #expect(harness.upstream.links.count == 1)
        try client.cancel()
        // No ReadyForQuery before the Sync.
        #expect(try client.take() == [])
        let link = try harness.lastLink
        #expect(link !== leadingLink)
        #expect(try link.takeSent() == ["P SELECT t", "B", "E", "H"])
        #expect(link.cancellations == 1)
    }

    @Test("a statement cancelled while it waits for another's fails in its block, upstream")
    func cancelInBlock() throws {
        let harness = SessionHarness()
        let leader = try harness.client()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("SELECT other t")
        let link = try harness.lastLink
        link.replyTag("BEGIN", status: .inBlock)
        link.replyRow("one", status: .inBlock)
        _ = try (client.take(), link.takeSent())
        try leader.query("SELECT t")
        try client.query("SELECT t")
        #expect(try link.takeSent() == [])
        try client.cancel()
        #expect(try link.takeSent() == ["Q SELECT t"])
        #expect(link.cancellations == 1)
        #expect(try client.take() == [])
    }

    @Test("a statement cancelled in its block while it is analysed fails in the server")
    func cancelDuringAnalysis() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        harness.upstream.scriptedAnalyzer.isHolding = true
        try client.query("SELECT t")
        try client.cancel()
        harness.upstream.scriptedAnalyzer.release()
        harness.loop.run()
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["Q BEGIN", "Q SELECT t"])
        #expect(link.cancellations == 1)
    }

    @Test("a cancel of what was then answered from memory does not end the next statement")
    func cancelOvertakenByHit() throws {
        let harness = SessionHarness()
        let (client, other) = (try harness.client(), try harness.client())
        try client.query("BEGIN")
        harness.upstream.scriptedAnalyzer.isHolding = true
        try client.query("SELECT t")
        try client.cancel()
        harness.upstream.scriptedAnalyzer.isHolding = false
        try other.query("SELECT t")
        try harness.lastLink.replyRow("one")
        harness.upstream.scriptedAnalyzer.release()
        #expect(try client.take() == ["C BEGIN", "Z T", "T", "D one", "C SELECT 1", "Z T"])
        try client.query("UPDATE t")
        let link = try #require(harness.upstream.links.first)
        #expect(try link.takeSent() == ["Q BEGIN", "Q UPDATE t"])
        #expect(link.cancellations == 0)
    }
}
