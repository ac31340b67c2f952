import Synchronization

/// Who asks and with what settings: everything outside the statement that its answer depends on,
/// as one number.
///
/// Two sessions have the same identity exactly if all of that is equal, byte for byte. Numbers are
/// never used again while the process lives.
struct SessionIdentity: Hashable {
    let number: UInt64

    /// Stands for "not known": sessions with it neither read nor fill the cache.
    static let unknown = SessionIdentity(number: 0)
}

/// Gives identities their numbers. Shared by all sessions, guarded by its own mutex; consulted when
/// a session starts or its settings change, never for a statement.
package final class SessionIdentityTable: Sendable {
    private let numbers = Mutex<[Components: UInt64]>([:])
    private let capacity: Int

    struct Components: Hashable {
        var database: String
        var user: String
        var settings: [String: String]
    }

    /// `capacity` bounds what clients that change settings at will can make the table hold.
    package init(capacity: Int = 65_536) {
        self.capacity = capacity
    }

    /// The identity of `components`; `.unknown` where the table is full.
    func identity(of components: Components) -> SessionIdentity {
        numbers.withLock { numbers in
            if let number = numbers[components] { return SessionIdentity(number: number) }
            guard numbers.count < capacity else { return .unknown }
            let number = UInt64(numbers.count + 1)
            numbers[components] = number
            return SessionIdentity(number: number)
        }
    }
}
