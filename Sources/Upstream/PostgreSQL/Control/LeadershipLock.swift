import PostgresWire

/// Which of several Mynahs leads in front of one database, as that arbitrates it: whose session holds
/// an advisory lock.
///
/// Besides, each connection for clients' statements holds a lock of its own (`LinkClaim`), shared, by
/// which whoever leads next finds them, whether or not its predecessor is there to be asked.
/// https://www.postgresql.org/docs/15/explicit-locking.html#ADVISORY-LOCKS
package final class LeadershipLock: Sendable {
    /// Locks with two keys. The lead: "MYNL" in ASCII, and the group's number. A connection: "MY" and half
    /// of the group's number, and the node's.
    private static let leadKey: Int32 = 0x4D59_4E4C
    private static let claimKeys: Int32 = 0x4D59_0000

    /// The upper half of the first key of each lock by which some group marks connections.
    package static var claimClasses: Int32 { claimKeys >> 16 }

    private let leadNumber: Int32
    private let claimKey: Int32
    private let connection: ControlConnection
    /// Tells this node's connections from those of others.
    private let number: Int32
    private let idleTimeout: String

    /// - Parameters:
    ///   - conninfo: names the user, who must be allowed to end the sessions of all clients'
    ///     (pg_signal_backend), and the database in which the lock is.
    ///   - group: the same for all nodes that belong together, and for no others on the server.
    ///   - idleTimeout: milliseconds after which the server ends the session if it asks nothing; from
    ///     PostgreSQL 14 on.
    package init(conninfo: String, group: String, idleTimeout: Int) {
        let hash = Self.hash(group)
        leadNumber = Int32(truncatingIfNeeded: hash & 0x7FFF_FFFF)
        claimKey = Self.claimKeys | Int32(truncatingIfNeeded: hash & 0xFFFF)
        number = .random(in: 1 ... .max)
        self.idleTimeout = "\(idleTimeout)"
        let database = (try? ConnectionOptions(resolving: conninfo))?["dbname"] ?? "postgres"
        connection = ControlConnection(
            conninfo: conninfo, database: database, user: nil, onServerChanged: {})
    }

    /// FNV-1a: the same in every process. Whether groups are told apart depends on it, and no more.
    private static func hash(_ text: String) -> UInt32 {
        text.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
    }

    /// Takes the lock if nobody has it. True where this node's session has it.
    package func take() async throws(ControlError) -> Bool {
        let idleTimeout = idleTimeout
        let leadNumber = String(leadNumber)
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
                """, [String(Self.leadKey), leadNumber]
            ).boolean(0, 0)
        }
    }

    /// Waits for the lock in the server's queue, for at most `patience`: before all who come and go.
    /// True where this node's session has it.
    package func wait(patience: Duration) async throws(ControlError) -> Bool {
        if try await take() { return true }
        let milliseconds = "\(patience / .milliseconds(1))"
        let leadNumber = String(leadNumber)
        return try await connection.run { session throws(ControlError) in
            for name in ["lock_timeout", "statement_timeout"] {
                try session.query(
                    "SELECT pg_catalog.set_config($1, $2, false)", [name, milliseconds])
            }
            do throws(ControlError) {
                try session.query(
                    "SELECT pg_catalog.pg_advisory_lock($1::pg_catalog.int4, $2::pg_catalog.int4)",
                    [String(Self.leadKey), leadNumber])
                return true
            } catch {
                // Somebody has it for longer than that.
                guard error.sqlState == "55P03" || error.sqlState == "57014" else { throw error }
                return false
            }
        }
    }

    /// Whether the user may end the sessions of other users (but for superusers').
    package func isSignaller() async throws(ControlError) -> Bool {
        try await connection.run { session throws(ControlError) in
            try session.query(
                """
                SELECT rolsuper OR pg_catalog.pg_has_role(oid, 'pg_signal_backend', 'MEMBER')
                FROM pg_catalog.pg_roles WHERE rolname = current_user
                """
            ).boolean(0, 0)
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
        let leadNumber = String(leadNumber)
        return try await connection.run { session throws(ControlError) in
            try session.query(
                """
                SELECT EXISTS (
                    SELECT FROM pg_catalog.pg_locks
                    WHERE locktype = 'advisory' AND classid = $1::pg_catalog.int4::pg_catalog.oid
                        AND objid = $2::pg_catalog.oid AND objsubid = 2 AND granted
                        AND pid = pg_catalog.pg_backend_pid())
                """, [String(Self.leadKey), leadNumber]
            ).boolean(0, 0)
        }
    }

    /// Ends the sessions that nodes have for their clients, and waits until there are none. Returns how
    /// many there were. Throws where one cannot be ended.
    ///
    /// To be called by a node that has none: what is left of its own, from when it led before, may
    /// have something yet to commit like anybody's.
    package func endSessions() async throws -> Int {
        var ended: Set<String> = []
        let claimKey = String(claimKey)
        while true {
            let left = try await connection.run { session throws(ControlError) in
                let rows = try session.query(
                    """
                    SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM (
                        SELECT DISTINCT pid FROM pg_catalog.pg_locks
                        WHERE locktype = 'advisory'
                            AND classid = $1::pg_catalog.int4::pg_catalog.oid
                            AND objsubid = 2) sessions
                    """, [claimKey])
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
                pg_catalog.pg_advisory_lock_shared(\(claimKey), \(number))
                """,
            isLeading: """
                CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE \
                l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.classid \
                OPERATOR(pg_catalog.=) '\(Self.leadKey)'::pg_catalog.oid AND l.objid \
                OPERATOR(pg_catalog.=) '\(leadNumber)'::pg_catalog.oid AND l.granted AND \
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
