import NIOCore

/// Writes records as the parts of one file, to wherever `sink` takes them.
package struct SnapshotWriter {
    private var seal: ChunkSeal
    private var pending = ByteBuffer()
    private let sink: ([UInt8]) throws(SnapshotError) -> Void

    /// Hands the header to `sink` at once. Encrypted if there is a key.
    init(
        created: UInt64, key: SnapshotKey?, sink: @escaping ([UInt8]) throws(SnapshotError) -> Void
    ) throws(SnapshotError) {
        let header = SnapshotHeader(isEncrypted: key != nil, created: created)
        seal = ChunkSeal(header: header, key: key)
        self.sink = sink
        try sink(header.bytes)
    }

    package mutating func append(_ record: SnapshotRecord) throws(SnapshotError) {
        record.write(to: &pending)
        while pending.readableBytes > ChunkSeal.maximumLength {
            guard let payload = pending.readBytes(length: ChunkSeal.maximumLength) else { break }
            try sink(seal.seal(payload, isLast: false))
        }
        pending.discardReadBytes()
    }

    /// Without this the file is one that was cut off.
    mutating func finish() throws(SnapshotError) {
        let payload = pending.readBytes(length: pending.readableBytes) ?? []
        try sink(seal.seal(payload, isLast: true))
    }
}
