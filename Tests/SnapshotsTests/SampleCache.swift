import NIOCore
import ResultCache

@testable import Snapshots

/// A cache with what depends on it, to be saved and restored.
final class SampleCache {
    let cells = CellTable(keyCells: 1 << 10)
    let cache = ReplyCache(limits: CacheLimits(memory: 64 << 20, maximumEntry: 8 << 20))
    let identities = SessionIdentityTable()
    lazy var registry = WindowRegistry(cells: cells)

    static let login = SessionIdentityTable.Components(
        database: "shop", user: "app", settings: ["timezone": "UTC", "search_path": "public"])
    static let provenance = SnapshotProvenance(
        product: "1", policy: "p", contents: ["server": "test", "state": "7"], user: "app",
        database: "shop")

    var schema: VersionCell { cells.cell(.schema(database: "shop")) }

    func all(_ relation: String) -> VersionCell {
        cells.cell(.all(database: "shop", relation: relation))
    }

    /// The cells of a read of one row by its `id`.
    func keyed(_ relation: String, _ value: Int) -> [VersionCell] {
        guard let columns = registry.keyed(by: ["id"], relation: relation, database: "shop") else {
            preconditionFailure("the registry is not full")
        }
        return [columns.wide, columns.cell(of: CollectionOfOne(value))]
    }

    /// A key as sessions write it for a statement without parameters.
    func key(
        _ text: String, login: SessionIdentityTable.Components = login
    ) -> ByteBuffer {
        let number = identities.identity(of: login).number
        var key = ByteBuffer()
        key.writeInteger(number)
        key.writeInteger(number)
        key.writeInteger(UInt32(text.utf8.count))
        key.writeString(text)
        key.writeBytes([0, 0, 0, 0, 0, 0, 0, 0])
        return key
    }

    @discardableResult
    func store(
        _ text: String, _ body: String, cells: [VersionCell], expiry: UInt64 = .max,
        login: SessionIdentityTable.Components = login
    ) -> Bool {
        guard let lease = CellSet([schema] + cells).capture() else { return false }
        let key = key(text, login: login)
        let outcome = key.withUnsafeReadableBytes { bytes in
            cache.store(
                key: bytes, hash: ReplyCache.hash(bytes),
                rowDescription: ByteBuffer(string: "T"), body: ByteBuffer(string: body),
                lease: lease, expiry: expiry, now: 0)
        }
        if case .stored = outcome { return true }
        return false
    }

    func body(of text: String, now: UInt64 = 0) -> String? {
        key(text).withUnsafeReadableBytes { bytes in
            cache.lookup(bytes, hash: ReplyCache.hash(bytes), now: now)
        }.map { String(buffer: $0.body) }
    }

    /// The whole cache as a file's bytes.
    func file(key: SnapshotKey? = nil, now: UInt64 = 0) throws -> [UInt8] {
        try SampleFile.bytes(key: key) { (writer) throws(SnapshotError) in
            _ = try SnapshotCollection(of: cache, now: now).write(
                to: &writer, provenance: Self.provenance, cells: cells, identities: identities)
        }
    }

    func write(_ cells: [VersionCell]) {
        WriteWindow.open(CellSet(cells))?.close(.committed)
    }
}

/// Files in memory.
enum SampleFile {
    private final class Bytes {
        var all: [UInt8] = []
    }

    static func bytes(
        key: SnapshotKey?, _ body: (inout SnapshotWriter) throws(SnapshotError) -> Void
    ) throws -> [UInt8] {
        let file = Bytes()
        var writer = try SnapshotWriter(created: 1_000, key: key) { file.all += $0 }
        try body(&writer)
        try writer.finish()
        return file.all
    }

    /// One whose parts hold exactly these payloads, correctly sealed.
    static func bytes(payloads: [[UInt8]], key: SnapshotKey? = nil) throws -> [UInt8] {
        let header = SnapshotHeader(isEncrypted: key != nil, created: 1_000)
        var seal = ChunkSeal(header: header, key: key)
        var file = header.bytes
        for (index, payload) in payloads.enumerated() {
            file += try seal.seal(payload, isLast: index == payloads.count - 1)
        }
        return file
    }

    static func read(
        _ bytes: [UInt8], key: SnapshotKey? = nil, maximumBytes: Int = .max
    ) throws(SnapshotError) -> SnapshotImage {
        var rest = bytes[...]
        return try SnapshotImage(key: key, maximumBytes: maximumBytes, size: bytes.count) { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
    }

    /// What reading it throws; nil where it is taken for good.
    static func error(_ bytes: [UInt8], key: SnapshotKey? = nil) -> SnapshotError? {
        do throws(SnapshotError) {
            _ = try read(bytes, key: key)
            return nil
        } catch {
            return error
        }
    }
}
