import Crypto
import NIOCore

/// Stands for one text with its parameter types, as it is prepared on connections that several
/// clients use: two clients' statements share a server-side one if they have the same digest.
///
/// The first half of a SHA-256 keyed with a secret of the process: nobody can make two texts share
/// one, or guess what a statement of someone else's is called.
package struct StatementDigest: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    package static let prefix = "mynah_"
    private static let secret = SymmetricKey(size: .bits256)

    /// `text` is the statement's part of a cache key (text and types, each with its length);
    /// `contexts` what constants in it were to be read with, and were, and the catalog.
    package init(text: ByteBuffer, contexts: (UInt64, UInt64, UInt64)) {
        var hash = HMAC<SHA256>(key: Self.secret)
        text.withUnsafeReadableBytes { hash.update(data: $0) }
        withUnsafeBytes(of: contexts) { hash.update(data: $0) }
        var halves = ByteBuffer(bytes: hash.finalize())
        high = halves.readInteger() ?? 0
        low = halves.readInteger() ?? 0
    }

    /// What the statement is called on the server.
    package var name: String { Self.prefix + Self.digits(high) + Self.digits(low) }

    private static func digits(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The statements that one connection holds for the clients that it serves in turn. The one that
/// has not been used for longest is forgotten first.
package struct ServerStatements {
    private var lastUses: [StatementDigest: UInt64] = [:]
    private var clock: UInt64 = 0
    private let capacity: Int

    package init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    package var count: Int { lastUses.count }
    /// What they are called on the server.
    var names: Set<String> { Set(lastUses.keys.map(\.name)) }

    package func contains(_ digest: StatementDigest) -> Bool { lastUses[digest] != nil }

    /// Whether the connection has it; notes that it is used.
    package mutating func use(_ digest: StatementDigest) -> Bool {
        guard lastUses[digest] != nil else { return false }
        clock += 1
        lastUses[digest] = clock
        return true
    }

    /// A Parse for it has been sent. Returns what has to be closed to make room; nothing where all
    /// are to be kept (`keepsAll`).
    package mutating func add(
        _ digest: StatementDigest, keepsAll: Bool = false
    ) -> StatementDigest? {
        clock += 1
        var evicted: StatementDigest?
        if !keepsAll, lastUses.count >= capacity, lastUses[digest] == nil,
            let oldest = lastUses.min(by: { $0.value < $1.value })?.key
        {
            lastUses[oldest] = nil
            evicted = oldest
        }
        lastUses[digest] = clock
        return evicted
    }

    /// The server does not have it after all.
    package mutating func remove(_ digest: StatementDigest) {
        lastUses[digest] = nil
    }

    /// The server still has it: its Close was skipped.
    package mutating func restore(_ digest: StatementDigest) {
        if lastUses[digest] == nil { lastUses[digest] = 0 }
    }

    package mutating func removeAll() {
        lastUses.removeAll()
    }
}
