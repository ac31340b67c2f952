import NIOCore
import ResultCache
import Synchronization
import Upstream

/// What servers have answered to startup messages, so that a session can be greeted, and its
/// repeated reads answered, before it has an upstream connection.
///
/// A greeting is good while the database's schema cell has not moved (ALTER ROLE … SET, DROP ROLE
/// and the like move it) and for a minute at most. Thread-safe.
package final class GreetingTable: Sendable {
    private struct Entry {
        var greeting: UpstreamGreeting
        var lease: FillLease
        var expiry: UInt64
    }

    static let lifetime: UInt64 = 60_000_000_000
    private static let capacity = 1024

    private let entries = Mutex<[SessionStartup: Entry]>([:])
    private let cells: CellTable

    init(cells: CellTable) {
        self.cells = cells
    }

    func greeting(for startup: SessionStartup, now: UInt64) -> UpstreamGreeting? {
        entries.withLock { entries in
            guard let entry = entries[Self.key(startup)] else { return nil }
            guard entry.expiry > now, entry.lease.isValid else {
                entries[Self.key(startup)] = nil
                return nil
            }
            return Self.adapt(entry.greeting, to: startup)
        }
    }

    /// Taken before the upstream is asked, given back with its answer.
    func lease(for startup: SessionStartup) -> FillLease? {
        CellSet([cells.cell(.cluster), cells.cell(.schema(database: startup.database))]).capture()
    }

    func remember(
        _ greeting: UpstreamGreeting, for startup: SessionStartup, lease: FillLease?, now: UInt64
    ) {
        guard let lease, lease.isValid else { return }
        entries.withLock { entries in
            if entries.count >= Self.capacity { entries.removeAll() }
            entries[Self.key(startup)] = Entry(
                greeting: greeting, lease: lease, expiry: now + Self.lifetime)
        }
    }

    func removeAll() {
        entries.withLock { $0.removeAll() }
    }

    /// A printable application name differs from session to session and is merely reported back:
    /// that there is one, not which, is part of what a greeting is remembered under.
    private static func key(_ startup: SessionStartup) -> SessionStartup {
        var key = startup
        for index in key.parameters.indices where isEchoed(key.parameters[index]) {
            key.parameters[index].value = ""
        }
        return key
    }

    private static func isEchoed(_ parameter: SessionStartup.Parameter) -> Bool {
        parameter.name == "application_name" && parameter.value.utf8.count < 64
            && parameter.value.utf8.allSatisfy { (32...126).contains($0) }
    }

    /// The greeting for another session of its kind.
    static func adapt(
        _ greeting: UpstreamGreeting, to startup: SessionStartup
    ) -> UpstreamGreeting {
        var greeting = greeting
        greeting.backendKey = nil
        guard let name = startup.parameters.last(where: isEchoed)?.value else { return greeting }
        for index in greeting.parameterStatuses.indices
        where greeting.parameterStatuses[index].name == "application_name" {
            greeting.parameterStatuses[index].value = name
        }
        return greeting
    }
}
