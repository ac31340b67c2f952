import Crypto
import NIOCore
import TestSupport
import Testing

@testable import ResultCache

@Suite("Names and replies for other processes")
struct PortableNamesTests {
    private let names: [CellName] = [
        .cluster, .schema(database: "d"), .catalog(database: "é"),
        .all(database: "d", relation: ""), .wide(database: "d", relation: "r", columns: []),
        .wide(database: "d", relation: "r", columns: ["a", "b"]),
    ]
    private let components = SessionIdentityTable.Components(
        database: "d", user: "u", settings: ["TimeZone": "UTC", "DateStyle": ""])

    private func reply(
        _ table: CellTable, expiry: UInt64 = .max, hasDescription: Bool = true,
        key: String = "0123456789abcdefrest"
    ) throws -> CachedReply {
        let cache = ReplyCache(
            limits: CacheLimits(memory: 1 << 20, maximumEntry: 1000), shardCount: 1)
        let cells = CellSet([
            table.cell(.schema(database: "d")), table.cell(.all(database: "d", relation: "r")),
            table.keyCell(place: 3),
        ])
        let outcome = cache.store(
            key, "body", under: try #require(cells.capture()),
            rowDescription: hasDescription ? "columns" : nil, expiry: expiry, now: 10)
        return try #require(outcome.stored)
    }

    @Test("Cells' names are read as they were written, and not where they are cut short")
    func cellNames() throws {
        for name in names {
            var buffer = ByteBuffer()
            name.write(to: &buffer)
            for length in 0..<buffer.readableBytes {
                var cut = try #require(buffer.getSlice(at: 0, length: length))
                #expect(CellName(from: &cut) == nil)
            }
            #expect(CellName(from: &buffer) == name)
            #expect(buffer.readableBytes == 0)
        }
        var unknown = ByteBuffer(bytes: [9, 0, 0, 0, 0])
        #expect(CellName(from: &unknown) == nil)
    }

    @Test("Identities are read as they were written, and not where they are cut short")
    func identities() throws {
        var buffer = ByteBuffer()
        components.write(to: &buffer)
        for length in 0..<buffer.readableBytes {
            var cut = try #require(buffer.getSlice(at: 0, length: length))
            #expect(SessionIdentityTable.Components(from: &cut) == nil)
        }
        #expect(SessionIdentityTable.Components(from: &buffer) == components)
    }

    @Test("A reply is read as it was written: its key, cells, lifetime and bytes")
    func replies() throws {
        for hasDescription in [true, false] {
            for expiry in [UInt64(100), .max] {
                let table = CellTable(keyCells: 8)
                let reply = try reply(table, expiry: expiry, hasDescription: hasDescription)
                let record = try #require(ReplyRecord(reply, cells: table, now: 40))
                #expect(record.timeToLive == (expiry == .max ? nil : 60))
                #expect(record.cells == table.references(of: reply.cells))
                #expect(String(buffer: record.restOfKey) == "rest")
                var buffer = ByteBuffer()
                record.write(to: &buffer)
                for length in 0..<buffer.readableBytes {
                    var cut = try #require(buffer.getSlice(at: 0, length: length))
                    #expect(ReplyRecord(from: &cut) == nil)
                }
                #expect(ReplyRecord(from: &buffer) == record)
                #expect(buffer.readableBytes == 0)
                let key = record.key(
                    now: SessionIdentity(number: record.identities.now),
                    atParse: SessionIdentity(number: record.identities.atParse))
                #expect(String(buffer: key) == "0123456789abcdefrest")
            }
        }
    }

    @Test("A reply that is over, or whose key names nobody, is of no use to others")
    func useless() throws {
        let table = CellTable(keyCells: 8)
        let mortal = try reply(table, expiry: 100)
        #expect(ReplyRecord(mortal, cells: table, now: 99)?.timeToLive == 1)
        #expect(ReplyRecord(mortal, cells: table, now: 100) == nil)
        #expect(ReplyRecord(try reply(table, key: "short"), cells: table, now: 1) == nil)
    }

    @Test("Bytes that were changed never trap")
    func mutations() throws {
        var generator = SeededGenerator(seed: 3)
        let table = CellTable(keyCells: 8)
        let record = try #require(ReplyRecord(try reply(table), cells: table, now: 40))
        var samples: [ByteBuffer] = names.map { name in
            var buffer = ByteBuffer()
            name.write(to: &buffer)
            return buffer
        }
        samples += [ByteBuffer(), ByteBuffer()]
        record.write(to: &samples[samples.count - 1])
        components.write(to: &samples[samples.count - 2])
        for _ in 0..<10_000 {
            let sample = samples.randomElement(using: &generator) ?? ByteBuffer()
            let bytes = ByteBuffer(bytes: generator.mutated(Array(sample.readableBytesView)))
            var (one, two, three) = (bytes, bytes, bytes)
            _ = CellName(from: &one)
            _ = SessionIdentityTable.Components(from: &two)
            _ = ReplyRecord(from: &three)
        }
    }

    @Test("Cells are told by their number or their place, and names come in their order")
    func references() {
        let table = CellTable(keyCells: 8)
        let first = table.cell(.schema(database: "d"))
        let second = table.cell(.all(database: "d", relation: "r"))
        let third = table.keyCell(place: 5)
        let told = table.references(of: CellSet([first, second, third]))
        #expect(Set(told.compactMap(\.ordinal)) == [0, 1])
        #expect(told.compactMap(\.place) == [5])
        #expect(
            Array(table.names(from: 0)) == [
                .schema(database: "d"), .all(database: "d", relation: "r"),
            ])
        #expect(Array(table.names(from: 1)) == [.all(database: "d", relation: "r")])
        #expect(table.names(from: 2).isEmpty && table.names(from: 99).isEmpty)
    }

    /// The place of a key among the cells of a table with this secret, or with its own.
    private func places(_ secret: UInt8?) throws -> [Int?] {
        let table = CellTable(keyCells: 1 << 16)
        table.hashKey = secret.map { SymmetricKey(data: [UInt8](repeating: $0, count: 32)) }
        let registry = WindowRegistry(cells: table)
        let columns = try #require(registry.keyed(by: ["a"], relation: "r", database: "d"))
        return (0..<8).map { key in
            table.references(of: CellSet([columns.cell(of: [key])])).first?.place
        }
    }

    @Test("Keys have the same cells in tables with the same secret, and others with another")
    func hashKey() throws {
        #expect(try places(1) == places(1))
        #expect(try places(1) != places(2))
        #expect(try places(nil) != places(1))
        #expect(Set(try places(1)).count > 1)
    }
}
