import NIOCore
import ResultCache

/// What a snapshot consists of, in this order: where it comes from, what the names in it stand for,
/// the answers with the most valuable first, and how many there were.
///
/// Layout: kind (1) · length (4) · contents.
package enum SnapshotRecord: Sendable {
    case provenance(SnapshotProvenance)
    case cell(UInt32, CellName)
    case identity(UInt64, SessionIdentityTable.Components)
    case reply(ReplyRecord)
    case end(replies: UInt64)

    private enum Kind: UInt8 {
        case provenance = 1
        case cell, identity, reply, end
    }

    func write(to buffer: inout ByteBuffer) {
        switch self {
        case .provenance(let provenance):
            Self.write(.provenance, to: &buffer) { provenance.write(to: &$0) }
        case .cell(let number, let name):
            Self.write(.cell, to: &buffer) { body in
                body.writeInteger(number)
                name.write(to: &body)
            }
        case .identity(let number, let components):
            Self.write(.identity, to: &buffer) { body in
                body.writeInteger(number)
                components.write(to: &body)
            }
        case .reply(let reply): Self.write(.reply, to: &buffer) { reply.write(to: &$0) }
        case .end(let replies): Self.write(.end, to: &buffer) { $0.writeInteger(replies) }
        }
    }

    private static func write(
        _ kind: Kind, to buffer: inout ByteBuffer, _ body: (inout ByteBuffer) -> Void
    ) {
        buffer.writeInteger(kind.rawValue)
        let start = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        body(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - start - 4), at: start)
    }

    /// The record at the reader index; nil where it is not whole yet. Throws where it cannot be one.
    /// Nothing is allocated for what a length merely claims.
    static func next(in buffer: inout ByteBuffer) throws(SnapshotError) -> SnapshotRecord? {
        guard let raw = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else {
            return nil
        }
        guard let kind = Kind(rawValue: raw) else { throw .malformed }
        guard let length = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt32.self),
            let view = buffer.viewBytes(at: buffer.readerIndex + 5, length: Int(length))
        else { return nil }
        // A copy: a slice would keep all that was read together with it.
        var body = ByteBuffer(bytes: view)
        buffer.moveReaderIndex(forwardBy: 5 + Int(length))
        guard let record = decode(kind, &body), body.readableBytes == 0 else { throw .malformed }
        return record
    }

    private static func decode(_ kind: Kind, _ body: inout ByteBuffer) -> SnapshotRecord? {
        switch kind {
        case .provenance: return SnapshotProvenance(from: &body).map { .provenance($0) }
        case .cell:
            guard let number = body.readInteger(as: UInt32.self), let name = CellName(from: &body)
            else { return nil }
            return .cell(number, name)
        case .identity:
            guard let number = body.readInteger(as: UInt64.self),
                let components = SessionIdentityTable.Components(from: &body)
            else { return nil }
            return .identity(number, components)
        case .reply: return ReplyRecord(from: &body).map { .reply($0) }
        case .end: return body.readInteger(as: UInt64.self).map { .end(replies: $0) }
        }
    }
}

/// What has to be the same at the start for a snapshot's answers to be true there.
package struct SnapshotProvenance: Hashable, Sendable {
    /// The build of Mynah that wrote it: another may judge differently what can be cached.
    package var product: String
    /// A hash of the rules and the time to live under which the answers were stored.
    package var policy: String
    /// What identifies the contents of the database that the answers came from, by name; nil where
    /// they changed while the answers were collected, or cannot be identified.
    package var contents: [String: String]?
    /// Whom the database was asked as, and which one, for that.
    package var user: String
    package var database: String

    package init(
        product: String, policy: String, contents: [String: String]?, user: String,
        database: String
    ) {
        self.product = product
        self.policy = policy
        self.contents = contents
        self.user = user
        self.database = database
    }

    private static let maximumFacts = 64

    func write(to buffer: inout ByteBuffer) {
        buffer.writeCounted(product)
        buffer.writeCounted(policy)
        buffer.writeCounted(user)
        buffer.writeCounted(database)
        guard let contents else {
            buffer.writeInteger(UInt16.max)
            return
        }
        precondition(contents.count <= Self.maximumFacts, "more facts than a reader accepts")
        buffer.writeInteger(UInt16(contents.count))
        for (name, value) in contents.sorted(by: { $0.key < $1.key }) {
            buffer.writeCounted(name)
            buffer.writeCounted(value)
        }
    }

    init?(from buffer: inout ByteBuffer) {
        guard let product = buffer.readCounted(), let policy = buffer.readCounted(),
            let user = buffer.readCounted(), let database = buffer.readCounted(),
            let count = buffer.readInteger(as: UInt16.self)
        else { return nil }
        self.init(
            product: product, policy: policy, contents: nil, user: user, database: database)
        guard count != .max else { return }
        guard Int(count) <= Self.maximumFacts else { return nil }
        var facts: [String: String] = [:]
        for _ in 0..<count {
            guard let name = buffer.readCounted(), let value = buffer.readCounted() else {
                return nil
            }
            facts[name] = value
        }
        contents = facts
    }
}
