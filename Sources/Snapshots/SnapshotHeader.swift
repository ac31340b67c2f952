import NIOCore

/// The first bytes of a snapshot, in clear: what is needed to read the rest.
///
/// Layout, all integers in network byte order: magic (8) · format version (2) · flags (2) ·
/// milliseconds since 1970 (8) · salt (32). Every part that follows is sealed together with it, so
/// that no byte of it can be changed either.
package struct SnapshotHeader: Hashable, Sendable {
    package static let formatVersion: UInt16 = 1
    static let length = 52
    private static let magic = Array("MYNAHSNP".utf8)
    private static let saltLength = 32
    private static let encryptedFlag: UInt16 = 1

    package let isEncrypted: Bool
    /// When it was written, in milliseconds since 1970 by the clock of then.
    package let created: UInt64
    /// Random, so that no two files are encrypted with the same key.
    let salt: [UInt8]

    package init(isEncrypted: Bool, created: UInt64) {
        self.isEncrypted = isEncrypted
        self.created = created
        var generator = SystemRandomNumberGenerator()
        salt = (0..<Self.saltLength).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    var bytes: [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeBytes(Self.magic)
        buffer.writeInteger(Self.formatVersion)
        buffer.writeInteger(isEncrypted ? Self.encryptedFlag : 0)
        buffer.writeInteger(created)
        buffer.writeBytes(salt)
        return Array(buffer.readableBytesView)
    }

    /// Reads one. The version is looked at before anything that it may have changed.
    init(_ bytes: [UInt8]) throws(SnapshotError) {
        var buffer = ByteBuffer(bytes: bytes)
        guard let magic = buffer.readBytes(length: Self.magic.count) else {
            throw Self.magic.starts(with: bytes) && !bytes.isEmpty ? .truncated : .notASnapshot
        }
        guard magic == Self.magic else { throw .notASnapshot }
        guard let version = buffer.readInteger(as: UInt16.self) else { throw .truncated }
        guard version == Self.formatVersion else { throw .unknownVersion(version) }
        guard let flags = buffer.readInteger(as: UInt16.self),
            let created = buffer.readInteger(as: UInt64.self),
            let salt = buffer.readBytes(length: Self.saltLength)
        else { throw .truncated }
        guard flags & ~Self.encryptedFlag == 0 else { throw .damaged }
        isEncrypted = flags & Self.encryptedFlag != 0
        self.created = created
        self.salt = salt
    }
}
