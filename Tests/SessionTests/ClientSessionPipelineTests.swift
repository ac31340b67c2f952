import NIOCore
import PostgresWire
import Testing

@testable import Session

/// Pipelines, where the order of replies and the moment of the end matter.
@Suite("ClientSession, pipelined")
struct ClientSessionPipelineTests {
    private func executing(_ queries: [String], end: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var bytes = ByteBuffer()
        for query in queries {
            ParseMessage(statement: "", query: query).write(to: &bytes)
            BindMessage(statement: "").write(to: &bytes)
            DescribeMessage(target: .portal, name: "").write(to: &bytes)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        }
        end(&bytes)
        return bytes
    }

    @Test("what a Flush asks for is answered from memory, and the Sync after it ends the segment")
    func flush() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(executing(["SELECT t", "SELECT t"]) { $0.writeFlush() })
        let one = ["1", "2", "T", "D one", "C SELECT 1"]
        #expect(try client.take() == one + one)
        try client.send(executing([]) { $0.writeSync() })
        #expect(try client.take() == ["Z I"])
        #expect(try harness.lastLink.takeSent() == [])
    }

    @Test("a block begun, read in and committed in one pipeline never reaches the upstream")
    func block() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(executing(["BEGIN", "SELECT t", "COMMIT"]) { $0.writeSync() })
        #expect(
            try client.take() == [
                "1", "2", "n", "C BEGIN", "1", "2", "T", "D one", "C SELECT 1", "1", "2", "n",
                "C COMMIT", "Z I",
            ])
        #expect(try harness.lastLink.takeSent() == [])
    }

    @Test("a block whose read misses is forwarded whole, BEGIN included, and only once")
    func missingBlock() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.send(executing(["BEGIN", "SELECT new t"]) { $0.writeSync() })
        #expect(
            try harness.lastLink.takeSent() == [
                "P BEGIN", "B", "D", "E", "P SELECT new t", "B", "D", "E", "S",
            ])
        #expect(try client.take() == [])
    }

    @Test("Terminate right behind a query leaves its answer to come first")
    func terminate() throws {
        let (harness, client) = try SessionHarness.warmed()
        var bytes = ByteBuffer()
        bytes.writeQuery("UPDATE t")
        bytes.writeTerminate()
        try client.send(bytes)
        let link = try harness.lastLink
        #expect(!link.isClosed)
        link.replyTag("UPDATE 1")
        #expect(try client.take() == ["C UPDATE 1", "Z I"])
        #expect(link.isClosed)
        #expect(harness.services.metrics.unknownOutcomes.value == 0)
    }
}
