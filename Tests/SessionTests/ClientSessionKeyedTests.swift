import Mutants
import NIOCore
import PostgresWire
import ResultCache
import Testing
import Upstream

@testable import Session

/// Reads and writes of single rows: which answers a write leaves alone.
@Suite("ClientSession, by key")
struct ClientSessionKeyedTests {
    private let harness = SessionHarness()
    private let reader: HarnessClient
    private let writer: HarnessClient

    init() throws {
        reader = try harness.client()
        writer = try harness.client()
    }

    private func text(_ value: String) -> ByteBuffer { ByteBuffer(string: value) }
    private func binary(_ value: Int32) -> ByteBuffer { ByteBuffer(integer: value) }

    /// The elements of an integer[] parameter in binary format.
    private func array(_ values: Int32...) -> ByteBuffer {
        var array = ByteBuffer()
        for word in [1, 0, 23, Int32(values.count), 1] { array.writeInteger(word) }
        for value in values {
            array.writeInteger(Int32(4))
            array.writeInteger(value)
        }
        return array
    }

    /// Whether the answer comes from memory; where it does not, it is given, and stored.
    private func hits(_ sql: String) throws -> Bool {
        try reader.query(sql)
        guard try reader.take().isEmpty else { return true }
        try harness.upstream.links[0].replyRow("one")
        #expect(try reader.take() == ["T", "D one", "C SELECT 1", "Z I"])
        _ = try harness.upstream.links[0].takeSent()
        return false
    }

    private func hits(
        _ sql: String, _ parameters: ByteBuffer?..., format: Int16 = 0
    ) throws -> Bool {
        try reader.execute(sql, parameters: parameters, format: format)
        guard try reader.take().isEmpty else { return true }
        let link = harness.upstream.links[0]
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        _ = try (reader.take(), link.takeSent())
        return false
    }

    private var writerLink: ScriptedLink {
        get throws { try #require(harness.upstream.links.last) }
    }

    private func write(_ sql: String) throws {
        try writer.query(sql)
        try writerLink.replyTag("UPDATE 1")
        _ = try (writer.take(), writerLink.takeSent())
    }

    private func write(
        _ sql: String, _ parameters: ByteBuffer?..., format: Int16 = 0
    ) throws {
        try writer.execute(sql, parameters: parameters, format: format)
        try writerLink.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeNoData()
            $0.writeCommandComplete("UPDATE 1")
            $0.writeReadyForQuery(.idle)
        }
        _ = try (writer.take(), writerLink.takeSent())
    }

    private func warm(_ statements: String...) throws {
        for sql in statements {
            #expect(try !hits(sql))
            #expect(try hits(sql))
        }
    }

    @Test("a write to one row leaves the others' answers alone")
    func oneRow() throws {
        try warm("SELECT t id=1", "SELECT t id=2", "SELECT t id=2,1", "SELECT t name=a", "SELECT t")
        try write("UPDATE t id=1")
        #expect(try hits("SELECT t id=2"))
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=2,1"))
        // Which names the row has is not known, and all rows are all rows.
        #expect(try !hits("SELECT t name=a"))
        #expect(try !hits("SELECT t"))
    }

    @Test("a write that moves a row to another key concerns the readers of both")
    func movedKey() throws {
        try warm("SELECT t id=1", "SELECT t id=2", "SELECT t id=3")
        try write("UPDATE t id=1,2")
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=2"))
        #expect(try hits("SELECT t id=3"))
    }

    @Test("a write of rows that are not known concerns every key")
    func unknownRows() throws {
        try warm("SELECT t id=1", "SELECT t id=2")
        try write("UPDATE t")
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=2"))
    }

    @Test("a read by NULL depends on no key")
    func null() throws {
        try warm("SELECT t id=NULL")
        try write("UPDATE t id=1")
        #expect(try hits("SELECT t id=NULL"))
        try write("UPDATE t")
        #expect(try !hits("SELECT t id=NULL"))
    }

    @Test("composite keys are told apart where the write knows each of their columns")
    func composite() throws {
        try warm("SELECT t a=1 b=1", "SELECT t a=1 b=2", "SELECT t a=2 b=1")
        try write("UPDATE t a=1 b=2,3 c=5")
        #expect(try hits("SELECT t a=1 b=1"))
        #expect(try hits("SELECT t a=2 b=1"))
        #expect(try !hits("SELECT t a=1 b=2"))
        try write("UPDATE t a=2")
        #expect(try !hits("SELECT t a=1 b=1"))
    }

    @Test("parameters in text and in binary are the same keys")
    func parameters() throws {
        for format in [Int16(0), 1] {
            for key in [Int32(7), 8] {
                _ = try hits(
                    "SELECT t id=$1", format == 0 ? text("\(key)") : binary(key), format: format)
            }
        }
        try write("UPDATE t id=$1", binary(7), format: 1)
        #expect(try hits("SELECT t id=$1", text("8")))
        #expect(try hits("SELECT t id=$1", binary(8), format: 1))
        #expect(try !hits("SELECT t id=$1", text("7")))
        #expect(try !hits("SELECT t id=$1", binary(7), format: 1))
        try write("UPDATE t id=$1", text("8"))
        #expect(try !hits("SELECT t id=$1", text("8")))
        #expect(try !hits("SELECT t id=$1", binary(8), format: 1))
        #expect(try hits("SELECT t id=$1", text("7")))
        // A literal is no other key than a parameter.
        try write("UPDATE t id=7")
        #expect(try !hits("SELECT t id=$1", text("7")))
        #expect(try hits("SELECT t id=$1", text("8")))
    }

    @Test("lists of parameters, and parameters that are lists, are all of their keys")
    func lists() throws {
        #expect(try !hits("SELECT t id=$1,$2", text("1"), text("2")))
        #expect(try !hits("SELECT t id=@1", text("{2,3}")))
        #expect(try !hits("SELECT t id=@1", array(3, 4), format: 1))
        try write("UPDATE t id=$1,$2", text("5"), nil)
        #expect(try hits("SELECT t id=$1,$2", text("1"), text("2")))
        #expect(try hits("SELECT t id=@1", text("{2,3}")))
        try write("UPDATE t id=@1", array(4, 5), format: 1)
        #expect(try hits("SELECT t id=$1,$2", text("1"), text("2")))
        #expect(try hits("SELECT t id=@1", text("{2,3}")))
        #expect(try !hits("SELECT t id=@1", array(3, 4), format: 1))
        try write("UPDATE t id=@1", text("{2}"))
        #expect(try !hits("SELECT t id=$1,$2", text("1"), text("2")))
        #expect(try !hits("SELECT t id=@1", text("{2,3}")))
    }

    @Test("a parameter that cannot be read for certain stands for all rows, on both sides")
    func unreadable() throws {
        #expect(try !hits("SELECT t id=$1", text("1")))
        #expect(try !hits("SELECT t id=$1", text(" 2")))
        try write("UPDATE t id=$1", text("3"))
        #expect(try hits("SELECT t id=$1", text("1")))
        #expect(try !hits("SELECT t id=$1", text(" 2")))
        try write("UPDATE t id=$1", text("+3"))
        #expect(try !hits("SELECT t id=$1", text("1")))
    }

    @Test("a transaction's COMMIT covers the keys of all its statements, and no others")
    func transaction() throws {
        try warm("SELECT t id=1", "SELECT t id=2", "SELECT t id=3")
        try writer.query("BEGIN")
        try writer.query("UPDATE t id=1")
        try writerLink.replyTag("BEGIN", status: .inBlock)
        try writerLink.replyTag("UPDATE 1", status: .inBlock)
        try writer.query("UPDATE t id=2")
        try writerLink.replyTag("UPDATE 1", status: .inBlock)
        // Nothing can be visible yet.
        #expect(try hits("SELECT t id=1"))
        try writer.query("COMMIT")
        #expect(try hits("SELECT t id=3"))
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=1"))
        try writerLink.replyTag("COMMIT")
        #expect(try !hits("SELECT t id=1"))
        #expect(try hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=2"))
        #expect(try hits("SELECT t id=3"))
    }

    @Test("portals keep the parameters that they were bound with")
    func portals() throws {
        try warm("SELECT t id=1", "SELECT t id=2", "SELECT t id=3")
        var bytes = ByteBuffer()
        ParseMessage(statement: "s", query: "UPDATE t id=$1").write(to: &bytes)
        for (portal, key) in [("p", "1"), ("q", "2")] {
            BindMessage(portal: portal, statement: "s", parameters: [text(key)]).write(to: &bytes)
        }
        for portal in ["p", "q"] {
            ExecuteMessage(portal: portal, maximumRows: 0).write(to: &bytes)
        }
        bytes.writeSync()
        try writer.send(bytes)
        try writerLink.reply {
            $0.writeParseComplete()
            for _ in 0..<2 { $0.writeBindComplete() }
            for _ in 0..<2 { $0.writeCommandComplete("UPDATE 1") }
            $0.writeReadyForQuery(.idle)
        }
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=2"))
        #expect(try hits("SELECT t id=3"))
    }

    @Test("of a write whose connection is lost only the keys stay closed")
    func lostConnection() throws {
        try warm("SELECT t id=1", "SELECT t id=2")
        try writer.query("UPDATE t id=1")
        try writerLink.lose()
        #expect(try hits("SELECT t id=2"))
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=1"))
    }

    @Test("a column that becomes keyed while a write is on its way is not relied on before its end")
    func newlyKeyed() throws {
        try writer.query("UPDATE t id=1")
        #expect(try !hits("SELECT t id=1"))
        #expect(try !hits("SELECT t id=1"))
        try writerLink.replyTag("UPDATE 1")
        try warm("SELECT t id=1", "SELECT t id=2")
        try write("UPDATE t id=1")
        #expect(try !hits("SELECT t id=1"))
        #expect(try hits("SELECT t id=2"))
    }

    @Test("identical misses by key share one execution")
    func sharedFlight() throws {
        try reader.execute("SELECT t id=$1", parameters: [text("1")])
        try writer.execute("SELECT t id=$1", parameters: [text("1")])
        #expect(harness.upstream.links.count == 1)
        try harness.lastLink.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        #expect(try writer.take() == ["1", "2", "T", "D one", "C SELECT 1", "Z I"])
        #expect(harness.upstream.links.count == 1)
    }

    /// An old answer after the write is visible: while its reply is on the way, after its
    /// connection was lost, and where the column was keyed while it was under way.
    private func servesOldAnswer() throws -> Bool {
        try warm("SELECT t id=1")
        try writer.query("UPDATE t id=1")
        if try hits("SELECT t id=1") { return true }
        try writerLink.lose()
        return try hits("SELECT t id=1")
    }

    @Test(
        "the mutants of the windows serve an old answer",
        arguments: [nil, Mutant.windowAfterCommit, .windowReleasedWithLink, .noWritersCount])
    func mutants(mutant: Mutant?) throws {
        let isWrong = try Mutant.$scoped.withValue(mutant) { try servesOldAnswer() }
        #expect(isWrong == (mutant != nil))
    }

    @Test(
        "the mutant that does not wait for older windows stores what they make wrong",
        arguments: [nil, Mutant.newlyKeyedColumn])
    func newlyKeyedMutant(mutant: Mutant?) throws {
        try Mutant.$scoped.withValue(mutant) {
            try writer.query("UPDATE t id=1")
            #expect(try !hits("SELECT t id=1"))
            try writerLink.replyTag("UPDATE 1")
            // Read before the commit became visible, asked for after it.
            #expect(try hits("SELECT t id=1") == (mutant != nil))
        }
    }
}
