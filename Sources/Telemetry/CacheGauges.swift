/// What the cache knows about itself, read at the moment of a scrape.
package struct CacheGauges: Sendable, Equatable {
    package var entries: Int
    /// Bytes held by the entries, keys and bookkeeping included.
    package var bytes: Int
    /// Entries removed to stay within the memory limit, since the start.
    package var evictions: UInt64
    /// Entries found dead because a relation they had read was written, since the start.
    package var invalidations: UInt64

    package init(entries: Int = 0, bytes: Int = 0, evictions: UInt64 = 0, invalidations: UInt64 = 0)
    {
        self.entries = entries
        self.bytes = bytes
        self.evictions = evictions
        self.invalidations = invalidations
    }
}
