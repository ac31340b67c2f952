import NIOCore
import ResultCache
import TestSupport
import Testing

@testable import Replication

@Suite("Mirror messages")
struct MirrorMessageTests {
    /// One of each, with every optional part both there and not.
    static func samples() throws -> [MirrorMessage] {
        let node = MirroredNode(epoch: 1)
        let reply = try #require(node.fill("r", "row"))
        let record = try #require(ReplyRecord(reply, cells: node.cells, now: 1))
        var mortal = record
        mortal.timeToLive = 12
        mortal.rowDescription = nil
        mortal.cells = []
        let cells = [CellReference(rawValue: 0), CellReference(rawValue: .max)]
        let position = MirrorLog.Position(epoch: .max, index: 7)
        let id = NodeID(high: 1, low: .max)
        let open: [(window: UInt64, cells: [CellReference])] = [(1, cells), (2, [])]
        let messages: [MirrorMessage] = [
            .follow(MirrorTerms(node: id, isSynchronous: true, lease: 5, maximumEntry: 9)),
            .follow(MirrorTerms(node: id, isSynchronous: false, lease: .max, maximumEntry: .max)),
            .heartbeat(.max, answered: 3), .handOver, .promote, .promoted("nö"),
            .acknowledge(position),
            .welcome(
                MirrorWelcome(
                    node: id, hashKey: [UInt8](repeating: 3, count: 32), clientHost: "höst",
                    clientPort: 6432)),
            .begin(position, open: []),
            .begin(position, open: open),
            .cells(from: 3, []),
            .cells(
                from: 0,
                [
                    .schema(database: ""), .catalog(database: "d"),
                    .all(database: "d", relation: "r"),
                    .wide(database: "d", relation: "r", columns: ["a", ""]),
                ]),
            .identity(
                9,
                SessionIdentityTable.Components(
                    database: "d", user: "u", settings: ["TimeZone": "UTC"])),
            .opened(window: 4, cells: cells), .closed(window: 4, committed: true),
            .closed(window: .max, committed: false), .nothing, .stored(record), .stored(mortal),
            .entry(record), .entriesEnd, .answer(1, age: 2),
        ]
        return messages + MirrorRefusal.allCases.map(MirrorMessage.refusal)
    }

    static func bytes(_ messages: [MirrorMessage]) -> ByteBuffer {
        var buffer = ByteBuffer()
        for message in messages { message.write(to: &buffer) }
        return buffer
    }

    /// All messages of a payload.
    private static func read(
        _ payload: ByteBuffer
    ) throws(MirrorProtocolError) -> [MirrorMessage] {
        var payload = payload
        var found: [MirrorMessage] = []
        while let message = try MirrorMessage.next(in: &payload) { found.append(message) }
        return found
    }

    @Test("Each message is read as it was written, alone and among others")
    func roundTrip() throws {
        let samples = try Self.samples()
        for sample in samples {
            let written = Self.bytes([sample])
            let read = try Self.read(written)
            #expect(read.count == 1)
            #expect(Self.bytes(read) == written, "\(sample)")
        }
        let all = Self.bytes(samples)
        #expect(Self.bytes(try Self.read(all)) == all)
    }

    @Test("What is read says the same as what was written")
    func contents() throws {
        for sample in try Self.samples() {
            let read = try #require(try Self.read(Self.bytes([sample])).first)
            switch (sample, read) {
            case (.follow(let one), .follow(let other)): #expect(one == other)
            case (.welcome(let one), .welcome(let other)): #expect(one == other)
            case (.cells(let first, let one), .cells(let second, let other)):
                #expect(first == second)
                #expect(one == other)
            case (.identity(let first, let one), .identity(let second, let other)):
                #expect(first == second)
                #expect(one == other)
            case (.stored(let one), .stored(let other)), (.entry(let one), .entry(let other)):
                #expect(one == other)
            case (.refusal(let one), .refusal(let other)):
                #expect(one == other)
                #expect(!one.description.isEmpty)
            default: break
            }
        }
    }

    @Test("A message that is cut short anywhere is refused")
    func truncations() throws {
        for sample in try Self.samples() {
            let whole = Self.bytes([sample])
            for length in 1..<whole.readableBytes {
                let cut = try #require(whole.getSlice(at: 0, length: length))
                #expect(throws: MirrorProtocolError.self) { try Self.read(cut) }
            }
        }
    }

    @Test("A message that is longer than it says is refused")
    func trailingBytes() throws {
        for sample in try Self.samples() {
            var longer = Self.bytes([sample])
            let length = longer.getInteger(at: 1, as: UInt32.self) ?? 0
            longer.writeInteger(UInt8(0))
            longer.setInteger(length + 1, at: 1)
            #expect(throws: MirrorProtocolError.self) { try Self.read(longer) }
        }
    }

    @Test("Bytes that were changed are read or refused, and never trap", arguments: 1...4)
    func mutations(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let samples = try Self.samples().map { Array(Self.bytes([$0]).readableBytesView) }
        var refused = 0
        for _ in 0..<5_000 {
            let sample = samples.randomElement(using: &generator) ?? []
            let mutated = ByteBuffer(bytes: generator.mutated(sample))
            do throws(MirrorProtocolError) {
                // What is read can be written again.
                _ = Self.bytes(try Self.read(mutated))
            } catch {
                refused += 1
            }
        }
        #expect(refused > 0)
    }

    @Test("Numbers of parts that are not there take no memory", arguments: ["o", "B", "D"])
    func hostileCounts(tag: String) {
        var body = ByteBuffer()
        if tag == "B" { body.writeInteger(UInt64(1)) }
        if tag != "D" { body.writeInteger(UInt64(1)) } else { body.writeInteger(UInt32(0)) }
        body.writeInteger(UInt32.max)
        var payload = ByteBuffer(string: tag)
        payload.writeInteger(UInt32(body.readableBytes))
        payload.writeBuffer(&body)
        #expect(throws: MirrorProtocolError.self) { try Self.read(payload) }
    }

    @Test("A message whose length goes beyond the frame is refused")
    func hostileLength() {
        for length in [UInt32(1), 0x7FFF_FFFF, 0x8000_0000, .max] {
            var payload = ByteBuffer(string: "n")
            payload.writeInteger(length)
            #expect(throws: MirrorProtocolError.self) { try Self.read(payload) }
        }
    }
}
