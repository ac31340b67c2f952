import Synchronization

/// A number that rises and falls, such as open connections. Any thread may call any member.
package final class Gauge: Sendable {
    private let storage = Atomic<Int>(0)

    package init() {}

    package func increment() {
        storage.wrappingAdd(1, ordering: .relaxed)
    }

    package func decrement() {
        storage.wrappingSubtract(1, ordering: .relaxed)
    }

    package func add(_ amount: Int) {
        storage.wrappingAdd(amount, ordering: .relaxed)
    }

    package func set(_ value: Int) {
        storage.store(value, ordering: .relaxed)
    }

    package var value: Int {
        storage.load(ordering: .relaxed)
    }
}
