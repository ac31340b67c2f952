import Crypto
import NIOCore

/// Seals the parts of one file, in order: against change, reordering, and being cut off; with a key
/// against being read as well.
///
/// Layout of a part: kind (1; 0: more follow, 1: the last) · length (4) · payload · tag. With a key
/// the payload is encrypted by AES-256-GCM under a key of the file's own, derived from the configured
/// one and the header's random salt (HKDF-SHA256), so that a counter is nonce enough; the tag has 16
/// bytes. Without a key the tag is a SHA-256 sum: it shows accidents, not an adversary who can write
/// to the directory. In both, the header, the part's number, kind and length are sealed with it.
struct ChunkSeal {
    /// The longest payload: what is held in memory before it has been found good.
    static let maximumLength = 1 << 20
    static let prefixLength = 5

    private let header: [UInt8]
    private let key: SymmetricKey?
    private var number: UInt64 = 0

    init(header: SnapshotHeader, key: SnapshotKey?) {
        self.header = header.bytes
        self.key = key.map {
            HKDF<SHA256>.deriveKey(
                inputKeyMaterial: $0.value, salt: header.salt,
                info: Array("mynah snapshot 1".utf8), outputByteCount: 32)
        }
    }

    var tagLength: Int { key == nil ? SHA256.byteCount : 16 }

    /// A whole part as it stands in the file.
    mutating func seal(_ payload: [UInt8], isLast: Bool) throws(SnapshotError) -> [UInt8] {
        let prefix = Self.prefix(length: payload.count, isLast: isLast)
        let context = nextContext(prefix)
        guard let key else {
            return prefix + payload + Self.checksum(context, payload)
        }
        do {
            let box = try AES.GCM.seal(
                payload, using: key, nonce: AES.GCM.Nonce(data: context.nonce),
                authenticating: context.bytes)
            return prefix + box.ciphertext + box.tag
        } catch {
            throw .unusableKey
        }
    }

    /// What a prefix says: nil where it is none.
    static func read(prefix: [UInt8]) -> (length: Int, isLast: Bool)? {
        var buffer = ByteBuffer(bytes: prefix)
        guard let kind = buffer.readInteger(as: UInt8.self), kind <= 1,
            let length = buffer.readInteger(as: UInt32.self), length <= maximumLength
        else { return nil }
        return (Int(length), kind == 1)
    }

    /// The payload of the next part; throws where it is not what was sealed.
    mutating func open(
        prefix: [UInt8], payload: [UInt8], tag: [UInt8]
    ) throws(SnapshotError) -> [UInt8] {
        let context = nextContext(prefix)
        guard let key else {
            guard Self.checksum(context, payload) == tag else { throw .damaged }
            return payload
        }
        do {
            let box = try AES.GCM.SealedBox(
                nonce: AES.GCM.Nonce(data: context.nonce), ciphertext: payload, tag: tag)
            return Array(try AES.GCM.open(box, using: key, authenticating: context.bytes))
        } catch {
            throw .notSealedWithKey
        }
    }

    private struct Context {
        let bytes: [UInt8]
        let nonce: [UInt8]
    }

    private mutating func nextContext(_ prefix: [UInt8]) -> Context {
        let counter = withUnsafeBytes(of: number.bigEndian) { Array($0) }
        number += 1
        return Context(bytes: header + counter + prefix, nonce: [0, 0, 0, 0] + counter)
    }

    private static func prefix(length: Int, isLast: Bool) -> [UInt8] {
        precondition(length <= maximumLength, "a part that no reader would take")
        return [isLast ? 1 : 0] + withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0) }
    }

    private static func checksum(_ context: Context, _ payload: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: context.bytes)
        hash.update(data: payload)
        return Array(hash.finalize())
    }
}
