import CLibPQ
import Foundation
import Synchronization

/// Why nothing is known any more of what a database holds.
package enum ContentsDoubt: String, Sendable {
    case serverChanged = "the server was restarted, has crashed, or was replaced"
    /// Harmless: a statement such as DROP DATABASE has asked for it.
    case unwatched = "a statement needs the database to itself, so nobody watches over it"
}

/// The control connections of one server, one per database, made when first needed.
final class ControlConnections: Sendable {
    /// Databases beyond this many get no control connection, so nothing of theirs is cached.
    static let maximumDatabases = 64

    private struct State {
        var connections: [String: ControlConnection] = [:]
        var users: [String: String] = [:]
        var isClosed = false
    }

    private let conninfo: String
    private let namesUser: Bool
    private let onDoubt: @Sendable (_ database: String, ContentsDoubt) -> Void
    private let state = Mutex(State())

    init(
        conninfo: String,
        onDoubt: @escaping @Sendable (_ database: String, ContentsDoubt) -> Void
    ) {
        self.conninfo = conninfo
        self.onDoubt = onDoubt
        namesUser = Self.namesUser(conninfo)
    }

    func noteUser(_ user: String, database: String) {
        state.withLock { state in
            guard state.users[database] == nil, state.users.count < Self.maximumDatabases * 4
            else { return }
            state.users[database] = user
        }
    }

    /// nil when closed, or when there are too many.
    func connection(to database: String) -> ControlConnection? {
        state.withLock { state in
            if let connection = state.connections[database] { return connection }
            guard !state.isClosed, state.connections.count < Self.maximumDatabases else {
                return nil
            }
            let onDoubt = onDoubt
            let connection = ControlConnection(
                conninfo: conninfo, database: database,
                user: namesUser ? nil : state.users[database],
                onServerChanged: { onDoubt(database, .serverChanged) })
            state.connections[database] = connection
            return connection
        }
    }

    /// Ends the connection to a database that a statement needs to have to itself; the server
    /// waits some seconds for that. The next one made cannot tell whether the server was
    /// restarted in between, so the answers from that database go.
    func close(database: String) {
        guard let connection = state.withLock({ $0.connections.removeValue(forKey: database) })
        else { return }
        connection.close()
        onDoubt(database, .unwatched)
    }

    func close() {
        let connections = state.withLock { state in
            state.isClosed = true
            let connections = Array(state.connections.values)
            state.connections = [:]
            return connections
        }
        for connection in connections { connection.close() }
    }

    func reachable() async throws(ControlError) {
        let conninfo = conninfo
        let status: PGPing = await withCheckedContinuation { continuation in
            // Blocks for as long as the connect timeout; asked rarely.
            Thread.detachNewThread { continuation.resume(returning: Self.ping(conninfo)) }
        }
        switch status {
        case PQPING_OK: return
        case PQPING_REJECT:
            throw ControlError("the server rejects connections: it is starting or stopping")
        case PQPING_NO_RESPONSE: throw ControlError("the server does not answer")
        default: throw ControlError("the connection string cannot be used")
        }
    }

    private static func ping(_ conninfo: String) -> PGPing {
        var parameters = ConnectionParameters(conninfo: conninfo)
        parameters.set("connect_timeout", "2")
        return parameters.withPointers { PQpingParams($0, $1, 1) }
    }

    func waitUntilEnded(_ processID: Int32, database: String) async throws {
        var pause = Duration.milliseconds(20)
        while true {
            try Task.checkCancellation()
            if await hasEnded(processID, database: database) { return }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(500))
        }
    }

    private func hasEnded(_ processID: Int32, database: String) async -> Bool {
        guard let connection = connection(to: database) else { return false }
        let answer = try? await connection.run { session throws(ControlError) in
            let rows = try session.query(
                """
                SELECT NOT EXISTS (
                    SELECT FROM pg_catalog.pg_stat_activity
                    WHERE pid = $1::pg_catalog.int4 OR leader_pid = $1::pg_catalog.int4)
                """, [String(processID)])
            return rows.boolean(0, 0)
        }
        return answer ?? false
    }

    /// Whether the connection string itself says who logs in.
    private static func namesUser(_ conninfo: String) -> Bool {
        guard let options = PQconninfoParse(conninfo, nil) else { return false }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if String(cString: keyword) == "user" { return option.pointee.val != nil }
            option += 1
        }
        return false
    }
}
