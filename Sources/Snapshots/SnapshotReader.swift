import NIOCore

/// Reads a file part by part. Nothing of a part is looked at before it was found to be what was
/// written; whether the file is whole is known at its end, so nothing may be used before that.
package enum SnapshotReader {
    /// Calls `visit` for each record, in order, and returns the header.
    ///
    /// `source` returns as many bytes as it is asked for, fewer only at the end. With a key a file
    /// that is not encrypted is refused: whoever can put one there need not know the key.
    static func read(
        key: SnapshotKey?, from source: (Int) throws(SnapshotError) -> [UInt8],
        visit: (SnapshotRecord) throws(SnapshotError) -> Void
    ) throws(SnapshotError) -> SnapshotHeader {
        let header = try SnapshotHeader(try source(SnapshotHeader.length))
        if header.isEncrypted, key == nil { throw .keyMissing }
        if !header.isEncrypted, key != nil { throw .notEncrypted }
        var seal = ChunkSeal(header: header, key: header.isEncrypted ? key : nil)
        var pending = ByteBuffer()
        var isLast = false
        while !isLast {
            let prefix = try source(ChunkSeal.prefixLength)
            guard prefix.count == ChunkSeal.prefixLength else { throw .truncated }
            guard let part = ChunkSeal.read(prefix: prefix) else { throw .damaged }
            let payload = try source(part.length)
            let tag = try source(seal.tagLength)
            guard payload.count == part.length, tag.count == seal.tagLength else {
                throw .truncated
            }
            pending.writeBytes(try seal.open(prefix: prefix, payload: payload, tag: tag))
            while let record = try SnapshotRecord.next(in: &pending) { try visit(record) }
            pending.discardReadBytes()
            isLast = part.isLast
        }
        guard try source(1).isEmpty else { throw .truncated }
        guard pending.readableBytes == 0 else { throw .malformed }
        return header
    }
}
