import NIOCore

/// A cached reply as another process can be given it. All integers are in network byte order.
///
/// Layout: identity now (8) · identity at Parse (8) · key length (4) · rest of the key · cell count
/// (2) · cells (4 each) · nanoseconds left to live (8; all ones: no limit) · RowDescription length
/// (4; -1: none) · RowDescription · body length (4) · body.
///
/// Identities and cells are numbers that mean something together with the names that the sender has
/// given them (`CellName`, `SessionIdentityTable.Components`).
package struct ReplyRecord: Hashable, Sendable {
    /// The identities that a cache key begins with, and what follows them.
    package var identities: (now: UInt64, atParse: UInt64)
    package var restOfKey: ByteBuffer
    package var cells: [CellReference]
    /// Nanoseconds; nil for ever.
    package var timeToLive: UInt64?
    package var rowDescription: ByteBuffer?
    package var body: ByteBuffer

    package static let identitiesLength = 16
    package static let maximumCells = 4096

    /// nil where it is of no use to another process: a key without identities, more cells than a
    /// reader accepts, or an age that is over.
    package init?(_ reply: CachedReply, cells table: CellTable, now: UInt64) {
        guard reply.key.count >= Self.identitiesLength, !reply.isExpired(at: now) else { return nil }
        var key = ByteBuffer(bytes: reply.key)
        guard let first = key.readInteger(as: UInt64.self),
            let second = key.readInteger(as: UInt64.self)
        else { return nil }
        identities = (first, second)
        restOfKey = key.slice()
        let references = table.references(of: reply.cells)
        guard references.count <= Self.maximumCells else { return nil }
        cells = references
        timeToLive = reply.expiry == .max ? nil : reply.expiry - now
        rowDescription = reply.rowDescription
        body = reply.body
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeInteger(identities.now)
        buffer.writeInteger(identities.atParse)
        buffer.writeInteger(UInt32(restOfKey.readableBytes))
        buffer.writeImmutableBuffer(restOfKey)
        buffer.writeInteger(UInt16(cells.count))
        for cell in cells { buffer.writeInteger(cell.rawValue) }
        buffer.writeInteger(timeToLive ?? .max)
        if let rowDescription {
            buffer.writeInteger(Int32(rowDescription.readableBytes))
            buffer.writeImmutableBuffer(rowDescription)
        } else {
            buffer.writeInteger(Int32(-1))
        }
        buffer.writeInteger(UInt32(body.readableBytes))
        buffer.writeImmutableBuffer(body)
    }

    /// nil where the bytes are not exactly such a record at the reader index.
    package init?(from buffer: inout ByteBuffer) {
        guard let now = buffer.readInteger(as: UInt64.self),
            let atParse = buffer.readInteger(as: UInt64.self),
            let keyLength = buffer.readInteger(as: UInt32.self),
            let key = buffer.readSlice(length: Int(keyLength)),
            let count = buffer.readInteger(as: UInt16.self), Int(count) <= Self.maximumCells,
            buffer.readableBytes >= Int(count) * 4
        else { return nil }
        var cells: [CellReference] = []
        cells.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let raw = buffer.readInteger(as: UInt32.self) else { return nil }
            cells.append(CellReference(rawValue: raw))
        }
        guard let left = buffer.readInteger(as: UInt64.self),
            let descriptionLength = buffer.readInteger(as: Int32.self), descriptionLength >= -1
        else { return nil }
        var description: ByteBuffer?
        if descriptionLength >= 0 {
            guard let slice = buffer.readSlice(length: Int(descriptionLength)) else { return nil }
            description = slice
        }
        guard let bodyLength = buffer.readInteger(as: UInt32.self),
            let body = buffer.readSlice(length: Int(bodyLength))
        else { return nil }
        identities = (now, atParse)
        restOfKey = key
        self.cells = cells
        timeToLive = left == .max ? nil : left
        rowDescription = description
        self.body = body
    }

    /// The key under these identities.
    package func key(now: SessionIdentity, atParse: SessionIdentity) -> ByteBuffer {
        var key = ByteBuffer()
        key.reserveCapacity(Self.identitiesLength + restOfKey.readableBytes)
        key.writeInteger(now.number)
        key.writeInteger(atParse.number)
        key.writeImmutableBuffer(restOfKey)
        return key
    }

    package static func == (one: ReplyRecord, other: ReplyRecord) -> Bool {
        one.identities == other.identities && one.restOfKey == other.restOfKey
            && one.cells == other.cells && one.timeToLive == other.timeToLive
            && one.rowDescription == other.rowDescription && one.body == other.body
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(identities.now)
        hasher.combine(restOfKey)
    }
}
