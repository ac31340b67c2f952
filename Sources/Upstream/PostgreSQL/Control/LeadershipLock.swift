import PostgresWire

/// Which of several Mynahs leads in front of one database, as that arbitrates it: whose session holds
/// an advisory lock.
///
/// Besides, each connection for clients' statements holds a lock of its own (`LinkClaim`), shared, by
/// which whoever leads next finds them, whether or not its predecessor is there to be asked.
/// https://www.postgresql.org/docs/15/explicit-locking.html#ADVISORY-LOCKS
package final class LeadershipLock: Sendable {
    /// Locks with two keys: the first says what it is ("MYNL", "MYNB" in ASCII).
    static let leadKey: Int32 = 0x4D59_4E4C
    static let claimKey: Int32 = 0x4D59_4E42
    /// As pg_locks shows it.
    package static var claimClass: UInt32 { UInt32(claimKey) }
    private static let leadNumber: Int32 = 1

    private let connection: ControlConnection
    /// Tells this node's connections from those of others.
    private let number: Int32
    private let idleTimeout: String

    /// - Parameters:
    ///   - conninfo: names the user, who must be allowed to end the sessions of all clients'
    ///     (pg_signal_backend), and the database in which the lock is.
    ///   - idleTimeout: milliseconds after which the server ends the session if it asks nothing; from
    ///     PostgreSQL 14 on.
    package init(conninfo: String, idleTimeout: Int) {
        number = .random(in: 1 ... .max)
        self.idleTimeout = "\(idleTimeout)"
        let database = (try? ConnectionOptions(resolving: conninfo))?["dbname"] ?? "postgres"
        connection = ControlConnection(
            conninfo: conninfo, database: database, user: nil, onServerChanged: {})
    }

    /// Takes the lock if nobody has it. True where this node's session has it.
    package func take() async throws(ControlError) -> Bool {
        let idleTimeout = idleTimeout
        return try await connection.run { session throws(ControlError) in
            if try session.serverVersion() >= 140_000 {
                try session.query(
                    "SELECT pg_catalog.set_config('idle_session_timeout', $1, false)",
                    [idleTimeout])
            }
            return try session.query(
                """
                SELECT CASE WHEN EXISTS (
                    SELECT FROM pg_catalog.pg_locks
                    WHERE locktype = 'advisory' AND classid = $1::pg_catalog.int4::pg_catalog.oid
                        AND objid = $2::pg_catalog.oid AND objsubid = 2 AND granted
                        AND pid = pg_catalog.pg_backend_pid())
                    THEN true
                    ELSE pg_catalog.pg_try_advisory_lock(
                        $1::pg_catalog.int4, $2::pg_catalog.int4) END
                """, [String(Self.leadKey), String(Self.leadNumber)]
            ).boolean(0, 0)
        }
    }

    /// Waits for the lock in the server's queue, for at most `patience`: before all who come and go.
    /// True where this node's session has it.
    package func wait(patience: Duration) async throws(ControlError) -> Bool {
        if try await take() { return true }
        let milliseconds = "\(patience / .milliseconds(1))"
        return try await connection.run { session throws(ControlError) in
            for name in ["lock_timeout", "statement_timeout"] {
                try session.query(
                    "SELECT pg_catalog.set_config($1, $2, false)", [name, milliseconds])
            }
            do throws(ControlError) {
                try session.query(
                    "SELECT pg_catalog.pg_advisory_lock($1::pg_catalog.int4, $2::pg_catalog.int4)",
                    [String(Self.leadKey), String(Self.leadNumber)])
                return true
            } catch {
                // Somebody has it for longer than that.
                guard error.sqlState == "55P03" || error.sqlState == "57014" else { throw error }
                return false
            }
        }
    }

    /// Lets somebody else have the lock.
    package func yield() async throws(ControlError) {
        try await connection.run { session throws(ControlError) in
            _ = try session.query("SELECT pg_catalog.pg_advisory_unlock_all()")
        }
    }

    /// Whether this node's session still has it.
    package func isHeld() async throws(ControlError) -> Bool {
        try await connection.run { session throws(ControlError) in
            try session.query(
                """
                SELECT EXISTS (
                    SELECT FROM pg_catalog.pg_locks
                    WHERE locktype = 'advisory' AND classid = $1::pg_catalog.int4::pg_catalog.oid
                        AND objid = $2::pg_catalog.oid AND objsubid = 2 AND granted
                        AND pid = pg_catalog.pg_backend_pid())
                """, [String(Self.leadKey), String(Self.leadNumber)]
            ).boolean(0, 0)
        }
    }

    /// Ends the sessions that other nodes have for their clients, and waits until there are none.
    /// Returns how many there were. Throws where one cannot be ended.
    package func endSessionsOfOthers() async throws -> Int {
        var ended: Set<String> = []
        while true {
            let own = String(number)
            let left = try await connection.run { session throws(ControlError) in
                let rows = try session.query(
                    """
                    SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM (
                        SELECT DISTINCT pid FROM pg_catalog.pg_locks
                        WHERE locktype = 'advisory'
                            AND classid = $1::pg_catalog.int4::pg_catalog.oid
                            AND objid <> $2::pg_catalog.oid AND objsubid = 2) others
                    """, [String(Self.claimKey), own])
                return (0..<rows.rowCount).compactMap { rows.text($0, 0) }
            }
            if left.isEmpty { return ended.count }
            ended.formUnion(left)
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Gives the lock up.
    package func release() async {
        _ = try? await connection.run { session throws(ControlError) in
            try session.query("SELECT pg_catalog.pg_advisory_unlock_all()").rowCount
        }
        connection.close()
    }

    /// What connections for clients' statements ask before they are used, while this node leads. The
    /// session that has the lead is that of now.
    package func claim() async throws(ControlError) -> LinkClaim {
        let processID = try await connection.run { session throws(ControlError) in
            try session.query("SELECT pg_catalog.pg_backend_pid()").string(0, 0)
        }
        return LinkClaim(
            mark: """
                pg_catalog.pg_advisory_lock_shared(\(Self.claimKey), \(number))
                """,
            isLeading: """
                CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE \
                l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.classid \
                OPERATOR(pg_catalog.=) '\(Self.leadKey)'::pg_catalog.oid AND l.objid \
                OPERATOR(pg_catalog.=) '\(Self.leadNumber)'::pg_catalog.oid AND l.granted AND \
                l.pid OPERATOR(pg_catalog.=) \(processID)) THEN 't' ELSE 'f' END
                """)
    }
}

/// How a connection for clients' statements is marked as one of the node that leads.
///
/// In this order: it is marked, then it is asked whether the node still leads. Whoever leads from a
/// later moment on finds the mark; and where it leads already, the connection is not used.
package struct LinkClaim: Hashable, Sendable {
    let mark: String
    let isLeading: String

    static let leadsRow = "mynah.leads"

    /// To follow the settings probe: one more row of name and value. CASE sees to the order.
    var probe: String {
        " UNION ALL SELECT '\(Self.leadsRow)', CASE WHEN (SELECT \(mark)::pg_catalog.text) "
            + "IS NULL THEN 'f' ELSE \(isLeading) END"
    }

    /// Marks a session again that has given up all its locks.
    package var markQuery: String { "SELECT \(mark)" }
}
