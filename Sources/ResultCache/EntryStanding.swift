/// What there is in the cache under one key.
package enum EntryStanding: Sendable {
    case none
    /// It would be served.
    case current(CachedReply)
    /// Withheld until the writes in flight have ended; served again if all of them fail.
    case writerInFlight(CachedReply)
    /// What it was read from has been written since.
    case invalidated
    case expired
}

extension CachedReply {
    /// Whether it is stored under exactly `key`, whose hash is `hash`.
    package func isStored(under key: UnsafeRawBufferPointer, hash: UInt64) -> Bool {
        matches(key, hash: hash)
    }
}
