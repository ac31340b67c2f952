/// How much the cache may hold. Can be changed while it runs.
package struct CacheLimits: Hashable, Sendable {
    /// The hard limit in bytes of heap for all entries with their keys, objects and tables.
    package var memory: Int
    /// The largest entry: bytes of key, row description and body together.
    package var maximumEntry: Int

    package init(memory: Int, maximumEntry: Int) {
        self.memory = memory
        self.maximumEntry = maximumEntry
    }

    /// What a reply's lengths and offsets are counted in ends at 4 GiB; one message of the
    /// protocol at 1 GiB.
    static let largestEntry = 1 << 30

    var clamped: CacheLimits {
        CacheLimits(
            memory: max(0, memory), maximumEntry: min(max(0, maximumEntry), Self.largestEntry))
    }
}
