/// A snapshot of the cache's counters.
///
/// At any instant at which no other thread is in the cache,
/// `entries == stores - evictions - invalidations - expirations - replacements - removals`.
package struct CacheStatistics: Hashable, Sendable {
    /// Entries held now, dead ones that nobody has come across yet included.
    package var entries = 0
    /// Heap bytes held now: entries with their keys and objects, and the tables.
    package var bytes = 0

    /// Replies put in.
    package var stores: UInt64 = 0
    /// Entries that were still good and went to make room.
    package var evictions: UInt64 = 0
    /// Entries found dead because a cell had moved. Counted when found, not when it moved.
    package var invalidations: UInt64 = 0
    /// Entries found dead because their time was over.
    package var expirations: UInt64 = 0
    /// Entries that were still good when another reply was stored under their key.
    package var replacements: UInt64 = 0
    /// Entries that went with `removeAll()`.
    package var removals: UInt64 = 0

    /// Fills refused because a cell had moved since their lease was given.
    package var invalidatedFills: UInt64 = 0
    /// Fills refused because they were too large.
    package var oversizedFills: UInt64 = 0

    package init() {}

    /// Fills refused for either reason.
    package var rejectedFills: UInt64 { invalidatedFills + oversizedFills }

    static func += (total: inout CacheStatistics, part: CacheStatistics) {
        total.entries += part.entries
        total.bytes += part.bytes
        total.stores += part.stores
        total.evictions += part.evictions
        total.invalidations += part.invalidations
        total.expirations += part.expirations
        total.replacements += part.replacements
        total.removals += part.removals
        total.invalidatedFills += part.invalidatedFills
        total.oversizedFills += part.oversizedFills
    }
}
