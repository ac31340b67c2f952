import Synchronization

/// Who asks and with what settings: everything outside the statement that its answer depends on,
/// as one number.
///
/// Two sessions have the same identity only if all of that is equal, byte for byte. Numbers are
/// never used again while the process lives.
package struct SessionIdentity: Hashable, Sendable {
    package let number: UInt64

    package init(number: UInt64) { self.number = number }

    /// Stands for "not known": sessions with it neither read nor fill the cache.
    package static let unknown = SessionIdentity(number: 0)
}

/// Gives identities their numbers. Shared by all sessions, guarded by its own mutex; consulted when
/// a session starts or its settings change, never for a statement.
package final class SessionIdentityTable: Sendable {
    private struct State {
        var numbers: [Components: UInt64] = [:]
        var components: [UInt64: Components] = [:]
        var last: UInt64 = 0
        var logins: Set<Components> = []
    }

    private let state = Mutex(State())
    private let capacity: Int

    package struct Components: Hashable, Sendable {
        package var database: String
        package var user: String
        /// The names are in ASCII.
        package var settings: [String: String]

        package init(database: String, user: String, settings: [String: String]) {
            self.database = database
            self.user = user
            self.settings = settings
        }

        /// Byte for byte, where texts are equal if they are canonically equivalent: to the server
        /// é is not e with an accent. (Equal texts have equal hashes all the same.)
        package static func == (one: Components, other: Components) -> Bool {
            guard isSame(one.database, other.database), isSame(one.user, other.user),
                one.settings.count == other.settings.count
            else { return false }
            return one.settings.allSatisfy { name, value in
                other.settings[name].map { isSame(value, $0) } ?? false
            }
        }

        private static func isSame(_ one: String, _ other: String) -> Bool {
            one.utf8.elementsEqual(other.utf8)
        }
    }

    /// `capacity` bounds what clients that change settings at will can make the table hold.
    package init(capacity: Int = 65_536) {
        self.capacity = capacity
    }

    /// The identity of `components`. A table that is full forgets all of them: who comes again is
    /// then someone else, and finds nothing of what was stored for them.
    package func identity(of components: Components) -> SessionIdentity {
        state.withLock { state in
            if let number = state.numbers[components] { return SessionIdentity(number: number) }
            if state.numbers.count >= capacity {
                state.numbers.removeAll()
                state.components.removeAll()
            }
            state.last += 1
            state.numbers[components] = state.last
            state.components[state.last] = components
            return SessionIdentity(number: state.last)
        }
    }

    /// Who has the number; nil where the table has forgotten that.
    package func components(of identity: SessionIdentity) -> Components? {
        state.withLock { $0.components[identity.number] }
    }

    /// Settings equal to `settings`, in the storage that all sessions with them share: they are most
    /// of what an idle session would hold.
    package func shared(_ settings: [String: String]) -> [String: String] {
        state.withLock { state in
            if state.logins.count >= capacity { state.logins.removeAll() }
            let login = Components(database: "", user: "", settings: settings)
            return state.logins.insert(login).memberAfterInsert.settings
        }
    }
}
