import NIOCore
import PostgresWire
import ResultCache
import Testing
import Upstream

@testable import Session

/// However a session ends, and in the middle of whatever: its windows are closed, at once where
/// nothing can have been sent, and else when the server-side session is known to have ended.
@Suite("ClientSession ends")
struct ClientSessionEndTests {
    private func windows(_ harness: SessionHarness) -> Int {
        harness.services.metrics.writeWindowsOpen.value
    }

    private func execution(of sql: String) -> ByteBuffer {
        var bytes = ByteBuffer()
        ParseMessage(statement: "", query: sql).write(to: &bytes)
        BindMessage(statement: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        return bytes
    }

    /// The one window left is of unknown outcome, and closed by the proof.
    private func expectUnknown(_ harness: SessionHarness) {
        let table = harness.cells.cell(.all(database: "db", relation: "t"))
        #expect(windows(harness) == 1 && table.writersInFlight == 1)
        #expect(harness.services.metrics.unknownOutcomes.value == 1)
        harness.upstream.sessionsEnded()
        #expect(windows(harness) == 0 && table.writersInFlight == 0)
        #expect(table.version == 1)
    }

    @Test("a link lost within any message of a write's reply", arguments: 0..<20)
    func lostWithinReply(length: Int) throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("UPDATE t")
        let link = try harness.lastLink
        link.reply { bytes in
            var whole = ByteBuffer()
            whole.writeCommandComplete("UPDATE 1")
            whole.writeReadyForQuery(.idle)
            #expect(whole.readableBytes == 20)
            bytes.writeImmutableBuffer(whole.getSlice(at: 0, length: length)!)
        }
        link.lose()
        expectUnknown(harness)
    }

    @Test("a client that leaves within any message of its write's reply", arguments: 0..<20)
    func leftWithinReply(length: Int) throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "UPDATE t")
        bytes.writeSync()
        try client.send(bytes)
        let link = try harness.lastLink
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
        }
        link.reply { bytes in
            var whole = ByteBuffer()
            whole.writeCommandComplete("UPDATE 1")
            whole.writeReadyForQuery(.idle)
            bytes.writeImmutableBuffer(whole.getSlice(at: 0, length: length)!)
        }
        client.leave()
        #expect(link.isClosed)
        expectUnknown(harness)
    }

    @Test("Terminate while ReadyForQuery is on its way: the client still gets it whole")
    func terminateWithinReply() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("UPDATE t")
        let link = try harness.lastLink
        var reply = ByteBuffer()
        reply.writeCommandComplete("UPDATE 1")
        reply.writeReadyForQuery(.idle)
        link.reply { $0.writeImmutableBuffer(reply.readSlice(length: 17)!) }
        var bytes = ByteBuffer()
        bytes.writeTerminate()
        try client.send(bytes)
        #expect(!link.isClosed)
        link.reply { $0.writeImmutableBuffer(reply) }
        #expect(try client.take() == ["C UPDATE 1", "Z I"])
        #expect(link.isClosed)
        #expect(windows(harness) == 0)
        #expect(harness.services.metrics.unknownOutcomes.value == 0)
    }

    @Test("Terminate behind an Execute without its Sync")
    func terminateWithoutSync() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "UPDATE t")
        bytes.writeFlush()
        try client.send(bytes)
        #expect(windows(harness) == 1)
        bytes.clear()
        bytes.writeTerminate()
        try client.send(bytes)
        #expect(try harness.lastLink.isClosed)
        expectUnknown(harness)
    }

    @Test("a client that leaves behind an Execute without its Sync")
    func leftWithoutSync() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "UPDATE t")
        bytes.writeFlush()
        try client.send(bytes)
        client.leave()
        expectUnknown(harness)
    }

    @Test("an error in an open segment, and then the link is lost before the Sync")
    func lostWhileSkipping() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        var bytes = execution(of: "UPDATE t")
        bytes.writeFlush()
        try client.send(bytes)
        let link = try harness.lastLink
        link.reply { $0.writeErrorResponse(PostgresError("42601", "no")) }
        #expect(windows(harness) == 1)
        link.lose()
        expectUnknown(harness)
    }

    @Test("a COPY of whose two Sync messages the server ignores one, lost in the middle")
    func lostInCopy() throws {
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
        link.lose()
        expectUnknown(harness)
    }

    @Test("a write that was never handed to a link is over when its client leaves")
    func leftBeforeLink() throws {
        let harness = SessionHarness()
        _ = try harness.client()
        harness.upstream.isReadyAtOnce = false
        let client = try harness.client()
        try client.query("UPDATE t")
        #expect(windows(harness) == 1)
        client.leave()
        #expect(windows(harness) == 0)
        #expect(harness.services.metrics.unknownOutcomes.value == 0)
    }

    @Test("a greeting with other settings, and then the link is lost")
    func lostAfterOtherGreeting() throws {
        let harness = SessionHarness()
        _ = try harness.client()
        harness.upstream.isReadyAtOnce = false
        let client = try harness.client()
        try client.query("UPDATE t")
        var greeting = harness.upstream.greeting
        greeting.settings["search_path"] = "elsewhere"
        let link = try harness.lastLink
        link.becomeReady(greeting)
        #expect(windows(harness) == 2)
        link.lose()
        #expect(harness.services.metrics.unknownOutcomes.value == 2)
        harness.upstream.sessionsEnded()
        #expect(windows(harness) == 0)
    }
}
