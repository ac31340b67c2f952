import Synchronization

/// The connections that the mirror port has room for. Where it is full, who has kept silent for longest
/// makes room for who comes: silence must not keep a follower out. Thread-safe.
///
/// Connections are numbered, each unlike any other.
final class ConnectionPlaces: Sendable {
    private struct State {
        /// Those that have not introduced themselves, in the order in which they came.
        var strangers: [(number: UInt64, turnAway: @Sendable () -> Void)] = []
        var introduced: Set<UInt64> = []

        mutating func removeStranger(_ number: UInt64) -> Bool {
            guard let index = strangers.firstIndex(where: { $0.number == number }) else { return false }
            strangers.remove(at: index)
            return true
        }
    }

    let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// Somebody has come. Returns false where everybody else has introduced himself.
    ///
    /// - Parameter turnAway: ends the connection; called once at most, on any thread.
    func take(_ number: UInt64, _ turnAway: @escaping @Sendable () -> Void) -> Bool {
        let (hasPlace, other) = state.withLock { state -> (Bool, (@Sendable () -> Void)?) in
            var other: (@Sendable () -> Void)?
            if state.strangers.count + state.introduced.count >= capacity {
                guard !state.strangers.isEmpty else { return (false, nil) }
                other = state.strangers.removeFirst().turnAway
            }
            state.strangers.append((number, turnAway))
            return (true, other)
        }
        other?()
        return hasPlace
    }

    /// It has said who it is, and keeps its place. Returns false where that has gone to another.
    func introduced(_ number: UInt64) -> Bool {
        state.withLock { state in
            guard state.removeStranger(number) else { return false }
            state.introduced.insert(number)
            return true
        }
    }

    /// The connection has ended.
    func leave(_ number: UInt64) {
        state.withLock { state in
            if state.introduced.remove(number) == nil { _ = state.removeStranger(number) }
        }
    }
}
