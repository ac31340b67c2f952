import NIOCore

@testable import ResultCache

/// Calls with keys and replies as text, and a hash that is the same in every run.
extension ReplyCache {
    static func testHash(_ key: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 32
        return hash &* 0x9e37_79b9_7f4a_7c15
    }

    func lookup(_ key: String, hash: UInt64? = nil, now: UInt64 = 1) -> CachedReply? {
        withBytes(of: key) { lookup($0, hash: hash ?? Self.testHash(key), now: now) }
    }

    func peek(_ key: String, hash: UInt64? = nil, now: UInt64 = 1) -> CachedReply? {
        withBytes(of: key) { peek($0, hash: hash ?? Self.testHash(key), now: now) }
    }

    @discardableResult
    func store(
        _ key: String, _ body: String, under lease: FillLease, rowDescription: String? = nil,
        hash: UInt64? = nil, expiry: UInt64 = .max, now: UInt64 = 1
    ) -> StoreOutcome {
        withBytes(of: key) {
            store(
                key: $0, hash: hash ?? Self.testHash(key),
                rowDescription: rowDescription.map { ByteBuffer(string: $0) },
                body: ByteBuffer(string: body), lease: lease, expiry: expiry, now: now)
        }
    }
}

extension FlightTable {
    func join(
        _ key: String, lease: FillLease,
        onEnd: @escaping @Sendable (FlightOutcome) -> Void = { _ in }
    ) -> FlightRole {
        withBytes(of: key) {
            join(key: $0, hash: ReplyCache.testHash(key), lease: lease, onEnd: onEnd)
        }
    }
}

extension CachedReply {
    var text: String { String(buffer: body) }
}

extension StoreOutcome {
    var stored: CachedReply? {
        if case .stored(let reply) = self { return reply }
        return nil
    }

    var name: String {
        switch self {
        case .stored: "stored"
        case .invalidated: "invalidated"
        case .tooLarge: "tooLarge"
        }
    }
}

func withBytes<Result>(of text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    Array(text.utf8).withUnsafeBytes(body)
}
