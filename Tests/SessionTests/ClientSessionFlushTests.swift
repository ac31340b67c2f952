import NIOCore
import PostgresWire
import Testing

@testable import Session

/// Drivers that ask for each answer with a Flush of its own (pg8000 does).
@Suite("ClientSession, message by message")
struct ClientSessionFlushTests {
    private func messages(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var bytes = ByteBuffer()
        write(&bytes)
        return bytes
    }

    @Test("a Bind answered at a Flush is executed from memory")
    func bindThenExecute() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(
            messages {
                BindMessage(statement: "").write(to: &$0)
                $0.writeFlush()
            })
        #expect(try client.take() == ["2"])
        try client.send(
            messages {
                ExecuteMessage(portal: "", maximumRows: 0).write(to: &$0)
                $0.writeFlush()
                $0.writeSync()
            })
        #expect(try client.take() == ["D one", "C SELECT 1", "Z I"])
        #expect(try harness.lastLink.takeSent() == [])
    }

    @Test("a Bind answered at a Flush is made up for where its Execute must go upstream")
    func bindMadeUpFor() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(
            messages {
                BindMessage(statement: "").write(to: &$0)
                $0.writeFlush()
            })
        #expect(try client.take() == ["2"])
        try client.send(
            messages {
                ExecuteMessage(portal: "", maximumRows: 5).write(to: &$0)
                $0.writeSync()
            })
        let link = try harness.lastLink
        #expect(try link.takeSent() == ["B", "E", "S"])
        link.reply {
            $0.writeBindComplete()
            $0.writeRow("one", described: false)
            $0.writeReadyForQuery(.idle)
        }
        #expect(try client.take() == ["D one", "C SELECT 1", "Z I"])
    }

    @Test("a portal bound from memory is gone with the Sync")
    func portalEnds() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(
            messages {
                BindMessage(statement: "").write(to: &$0)
                $0.writeFlush()
                $0.writeSync()
                ExecuteMessage(portal: "", maximumRows: 0).write(to: &$0)
                $0.writeSync()
            })
        #expect(try client.take() == ["2", "Z I"])
        #expect(try harness.lastLink.takeSent() == ["E", "S"])
    }
}
