import Crypto
import NIOCore

/// Frames on the mirror port: a length (4 bytes) and a payload, which is sealed once both sides
/// have a key.
///
/// Introduction. Each side sends a greeting in plain text, the follower first: magic, version, whether
/// it has a key, and a nonce. From the key and both nonces each direction gets a key of its own
/// (HKDF-SHA-256, RFC 5869); every later frame is sealed with AES-256-GCM under its number. A frame
/// that was recorded, repeated, left out or changed does not open. Where there is no key, frames
/// are not sealed: TLS, or the loopback interface, has to do.
struct MirrorFraming {
    static let magic: [UInt8] = Array("MYNAHMIR".utf8)
    static let version: UInt16 = 1
    static let nonceLength = 32
    private static let tlsHandshake: UInt8 = 0x16
    private static let tlsAlert: UInt8 = 0x15

    private var received = ByteBuffer()
    private var opening: Sealing?
    private var sealing: Sealing?
    private let longestFrame: Int
    private var limit: Int
    /// It has greeted.
    private var isTrusted = false

    /// - Parameter longestFrame: bytes; what the largest reply takes must fit.
    init(longestFrame: Int) {
        self.longestFrame = longestFrame
        limit = MirrorGreeting.length
    }

    /// From here on longer frames are accepted.
    mutating func trust() {
        isTrusted = true
        limit = longestFrame
    }

    mutating func append(_ bytes: ByteBuffer) {
        received.discardReadBytes()
        received.writeImmutableBuffer(bytes)
    }

    /// The next whole frame's payload. Its length is looked at before anything is kept for it.
    mutating func next() throws(MirrorProtocolError) -> ByteBuffer? {
        guard let length = received.getInteger(at: received.readerIndex, as: UInt32.self) else {
            return nil
        }
        if !isTrusted, Int(length) != MirrorGreeting.length {
            // Nothing of our kind: not waited for.
            let first = received.getInteger(at: received.readerIndex, as: UInt8.self)
            throw MirrorProtocolError(
                description: first == Self.tlsHandshake || first == Self.tlsAlert
                    ? "it speaks TLS: only one of the two nodes has replication.certificate"
                    : "it does not speak the mirror protocol")
        }
        guard Int(length) <= limit else {
            throw MirrorProtocolError(description: "a frame of \(length) bytes, more than \(limit)")
        }
        guard received.readableBytes >= 4 + Int(length) else { return nil }
        received.moveReaderIndex(forwardBy: 4)
        guard let payload = received.readSlice(length: Int(length)) else { return nil }
        if received.readableBytes == 0 { received = ByteBuffer() }
        guard opening != nil else { return payload }
        guard let opened = opening?.open(payload) else {
            throw MirrorProtocolError(
                description: "a frame that does not open: another key, or not a Mynah")
        }
        return opened
    }

    /// A frame with this payload.
    mutating func frame(_ payload: ByteBuffer) -> ByteBuffer {
        let body = sealing?.seal(payload) ?? payload
        var frame = ByteBuffer()
        frame.reserveCapacity(4 + body.readableBytes)
        frame.writeInteger(UInt32(body.readableBytes))
        frame.writeImmutableBuffer(body)
        return frame
    }

    /// The other side has answered this one's greeting: from here on frames are sealed, where there is a
    /// key, and may be longer. Throws what this side's operator should read where the two do not fit.
    mutating func answered(
        _ payload: inout ByteBuffer, to nonce: [UInt8], key: SymmetricKey?
    ) throws(MirrorProtocolError) {
        guard let theirs = MirrorGreeting(from: &payload), payload.readableBytes == 0 else {
            throw MirrorProtocolError(description: "it does not speak the mirror protocol")
        }
        guard theirs.version == Self.version else {
            throw MirrorProtocolError(
                description: "it speaks version \(theirs.version) of the mirror protocol, and this "
                    + "node \(Self.version): all nodes need the same Mynah")
        }
        guard theirs.hasKey == (key != nil) else {
            throw MirrorProtocolError(
                description: theirs.hasKey
                    ? "it asks for a key: set replication.key_file or replication.key_env"
                    : "it has no key: its replication.key_file or replication.key_env is not set")
        }
        if let key {
            seal(with: key, followerNonce: nonce, primaryNonce: theirs.nonce, isFollower: true)
        }
        trust()
    }

    /// Seals and opens everything from now on.
    mutating func seal(
        with key: SymmetricKey, followerNonce: [UInt8], primaryNonce: [UInt8], isFollower: Bool
    ) {
        func directed(_ label: String) -> Sealing {
            Sealing(
                key: HKDF<SHA256>.deriveKey(
                    inputKeyMaterial: key, salt: followerNonce + primaryNonce,
                    info: Array("mynah mirror 1 \(label)".utf8), outputByteCount: 32))
        }
        let up = directed("follower to primary")
        let down = directed("primary to follower")
        (sealing, opening) = isFollower ? (up, down) : (down, up)
    }
}

/// One direction's key and the number of its next frame.
private struct Sealing {
    let key: SymmetricKey
    private var number: UInt64 = 0

    init(key: SymmetricKey) { self.key = key }

    private mutating func nextNonce() -> AES.GCM.Nonce? {
        defer { number += 1 }
        var bytes: [UInt8] = [0, 0, 0, 0]
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
        return try? AES.GCM.Nonce(data: bytes)
    }

    mutating func seal(_ plain: ByteBuffer) -> ByteBuffer? {
        guard let nonce = nextNonce(),
            let box = plain.withUnsafeReadableBytes({
                try? AES.GCM.seal($0, using: key, nonce: nonce)
            })
        else { preconditionFailure("AES-GCM refuses a nonce of its own length") }
        var sealed = ByteBuffer(bytes: box.ciphertext)
        sealed.writeBytes(box.tag)
        return sealed
    }

    mutating func open(_ sealed: ByteBuffer) -> ByteBuffer? {
        let tagLength = 16
        guard sealed.readableBytes >= tagLength, let nonce = nextNonce() else { return nil }
        return sealed.withUnsafeReadableBytes { bytes in
            let length = bytes.count - tagLength
            guard
                let box = try? AES.GCM.SealedBox(
                    nonce: nonce,
                    ciphertext: UnsafeRawBufferPointer(rebasing: bytes[..<length]),
                    tag: UnsafeRawBufferPointer(rebasing: bytes[length...])),
                let plain = try? AES.GCM.open(box, using: key)
            else { return nil }
            return ByteBuffer(bytes: plain)
        }
    }
}

/// The first frame of each side.
struct MirrorGreeting: Hashable {
    static let length = MirrorFraming.magic.count + 3 + MirrorFraming.nonceLength
    var version: UInt16
    var hasKey: Bool
    var nonce: [UInt8]

    init(hasKey: Bool) {
        version = MirrorFraming.version
        self.hasKey = hasKey
        var generator = SystemRandomNumberGenerator()
        nonce = (0..<MirrorFraming.nonceLength).map { _ in .random(in: 0...255, using: &generator) }
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeBytes(MirrorFraming.magic)
        buffer.writeInteger(version)
        buffer.writeInteger(hasKey ? UInt8(1) : 0)
        buffer.writeBytes(nonce)
    }

    /// nil where it is none: nothing of our kind is at the other end.
    init?(from buffer: inout ByteBuffer) {
        guard buffer.readBytes(length: MirrorFraming.magic.count) == MirrorFraming.magic,
            let version = buffer.readInteger(as: UInt16.self),
            let key = buffer.readInteger(as: UInt8.self),
            let nonce = buffer.readBytes(length: MirrorFraming.nonceLength)
        else { return nil }
        self.version = version
        hasKey = key != 0
        self.nonce = nonce
    }
}
