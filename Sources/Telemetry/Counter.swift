import Synchronization

/// A number that only grows. Any thread may call any member; no ordering is implied between
/// counters, so a scrape can see one counter ahead of another.
package final class Counter: Sendable {
    private let storage = Atomic<UInt64>(0)

    package init() {}

    package func increment() {
        storage.wrappingAdd(1, ordering: .relaxed)
    }

    /// Adds `amount`, which must not be negative.
    package func add(_ amount: Int) {
        assert(amount >= 0, "a counter only grows")
        storage.wrappingAdd(UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
    }

    package var value: UInt64 {
        storage.load(ordering: .relaxed)
    }
}
