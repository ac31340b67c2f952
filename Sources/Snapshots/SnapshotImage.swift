import NIOCore
import ResultCache

/// All that one snapshot holds, read and found whole.
package struct SnapshotImage: Sendable {
    package let header: SnapshotHeader
    package let provenance: SnapshotProvenance
    package let cells: [UInt32: CellName]
    package let identities: [UInt64: SessionIdentityTable.Components]
    /// The most valuable first.
    package let replies: [ReplyRecord]
    /// How many the file has, including those beyond what was asked for.
    package let replyCount: UInt64
    /// Bytes of the file.
    package let size: Int

    /// Collects records in the only order in which they may come.
    private struct Collector {
        let maximumBytes: Int
        var provenance: SnapshotProvenance?
        var cells: [UInt32: CellName] = [:]
        var identities: [UInt64: SessionIdentityTable.Components] = [:]
        var replies: [ReplyRecord] = []
        var bytes = 0
        var count: UInt64 = 0
        var isOver = false

        mutating func add(_ record: SnapshotRecord) throws(SnapshotError) {
            guard !isOver, (provenance == nil) == record.isProvenance else { throw .malformed }
            switch record {
            case .provenance(let provenance): self.provenance = provenance
            case .cell(let number, let name):
                guard count == 0, cells.updateValue(name, forKey: number) == nil else {
                    throw .malformed
                }
            case .identity(let number, let components):
                guard count == 0, identities.updateValue(components, forKey: number) == nil
                else { throw .malformed }
            case .reply(let reply):
                count += 1
                bytes += reply.readableBytes
                if bytes <= maximumBytes { replies.append(reply) }
            case .end(let replies):
                guard replies == count else { throw .malformed }
                isOver = true
            }
        }
    }

    /// - Parameter maximumBytes: of keys and answers to keep in memory; those that are worth less
    ///   are read, checked and counted.
    init(
        key: SnapshotKey?, maximumBytes: Int, size: Int,
        source: (Int) throws(SnapshotError) -> [UInt8]
    ) throws(SnapshotError) {
        var collector = Collector(maximumBytes: maximumBytes)
        header = try SnapshotReader.read(key: key, from: source) {
            (record) throws(SnapshotError) in try collector.add(record)
        }
        guard let provenance = collector.provenance, collector.isOver else { throw .malformed }
        self.provenance = provenance
        cells = collector.cells
        identities = collector.identities
        replies = collector.replies
        replyCount = collector.count
        self.size = size
    }
}

extension SnapshotRecord {
    fileprivate var isProvenance: Bool {
        if case .provenance = self { true } else { false }
    }
}

extension ReplyRecord {
    fileprivate var readableBytes: Int {
        restOfKey.readableBytes + body.readableBytes + (rowDescription?.readableBytes ?? 0)
    }
}
