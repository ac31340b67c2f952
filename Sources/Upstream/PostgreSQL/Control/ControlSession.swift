import CLibPQ
import Foundation
import PostgresWire

/// The libpq connection of one `ControlConnection`. Blocking; only touched on its thread.
///
/// Runs nothing but constant texts (or the configuration's own) with parameters, with an empty search_path: no name that a
/// client chose becomes part of a statement.
final class ControlSession {
    /// What tells one life of a server, and of what it holds in memory alone, from another.
    struct ServerIdentity: Hashable, Sendable {
        var startTime: String
        var systemIdentifier: String
        var timeline: String
        /// A crash of one of its processes resets statistics: unlogged tables are empty afterwards, and
        /// commits that were not on disk yet are gone. Somebody may have done it by hand, too.
        var statisticsReset: String
    }

    private let parameters: ConnectionParameters
    private let serverChanged: () -> Void
    private var connection: OpaquePointer?
    private var identity: ServerIdentity?

    /// - Parameter conninfo: a connection string or URI; what else is given takes precedence.
    init(
        conninfo: String, database: String, user: String?, password: Secret? = nil,
        serverChanged: @escaping () -> Void
    ) {
        var parameters = ConnectionParameters(conninfo: conninfo)
        parameters.set("dbname", database)
        if let user { parameters.set("user", user) }
        if let password { parameters.set("password", password.value) }
        parameters.set("connect_timeout", "2")
        parameters.set("application_name", "mynah control")
        parameters.set("client_encoding", "UTF8")
        parameters.set("keepalives", "1")
        parameters.set("keepalives_idle", "5")
        parameters.set("keepalives_interval", "2")
        parameters.set("keepalives_count", "3")
        parameters.set("tcp_user_timeout", "10000")
        self.parameters = parameters
        self.serverChanged = serverChanged
    }

    deinit {
        if let connection { PQfinish(connection) }
    }

    /// At least 140000 where the server knows SQL-standard function bodies and multiranges.
    func serverVersion() throws(ControlError) -> Int {
        Int(PQserverVersion(try connected()))
    }

    /// Runs one statement and returns its rows. Connects first if need be; a connection that
    /// breaks is given up, so that the next call makes a new one.
    @discardableResult
    func query(
        _ sql: StaticString, _ arguments: [String] = []
    ) throws(ControlError) -> ControlResult {
        try run(sql.description, arguments, on: try connected())
    }

    /// Runs the operator's own statement, from the configuration.
    func query(
        configured sql: String, _ arguments: [String]
    ) throws(ControlError) -> ControlResult {
        try run(sql, arguments, on: try connected())
    }

    /// Whether a connection stands (as far as is known).
    var isConnected: Bool { connection != nil }

    /// Connects if need be and compares the server with the one last seen.
    func checkServer() throws(ControlError) {
        let connection = try connected()
        try noteIdentity(on: connection)
    }

    private func connected() throws(ControlError) -> OpaquePointer {
        if let connection { return connection }
        guard let opened = connect() else {
            throw ControlError("out of memory while connecting")
        }
        guard PQstatus(opened) == CONNECTION_OK else {
            let message = String(cString: PQerrorMessage(opened))
            PQfinish(opened)
            throw ControlError(message)
        }
        // Notices would go to standard error.
        PQsetNoticeProcessor(opened, { _, _ in }, nil)
        connection = opened
        do throws(ControlError) {
            for statement in Self.settings { try run(statement, [], on: opened) }
            try noteIdentity(on: opened)
        } catch {
            disconnect()
            throw error
        }
        return opened
    }

    private static let settings = [
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "SET statement_timeout = '10s'",
        "SET lock_timeout = '1s'",
        "SET idle_in_transaction_session_timeout = '60s'",
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = 'read committed'",
        "SET bytea_output = 'hex'",
        "SET quote_all_identifiers = off",
        "SET standard_conforming_strings = on",
    ]

    private func connect() -> OpaquePointer? {
        parameters.withPointers { PQconnectdbParams($0, $1, 1) }
    }

    private func disconnect() {
        if let connection { PQfinish(connection) }
        connection = nil
    }

    private func noteIdentity(on connection: OpaquePointer) throws(ControlError) {
        let answer = try run(Self.identityQuery, [], on: connection)
        let seen = ServerIdentity(
            startTime: try answer.string(0, 0), systemIdentifier: try answer.string(0, 1),
            timeline: try answer.string(0, 2), statisticsReset: try answer.string(0, 3))
        let last = identity
        identity = seen
        if let last, last != seen { serverChanged() }
    }

    private static let identityQuery = """
        SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text,
            s.system_identifier::pg_catalog.text, c.timeline_id::pg_catalog.text,
            coalesce(pg_catalog.pg_stat_get_bgwriter_stat_reset_time()::pg_catalog.text, '')
        FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_control_checkpoint() AS c
        """

    @discardableResult
    private func run(
        _ sql: String, _ arguments: [String], on connection: OpaquePointer
    ) throws(ControlError) -> ControlResult {
        let values = arguments.map { strdup($0) }
        defer { values.forEach { free($0) } }
        let pointers = values.map { UnsafePointer($0) }
        guard
            PQsendQueryParams(
                connection, sql, Int32(arguments.count), nil, pointers, nil, nil, 0) == 1,
            let result = try answer(on: connection)
        else {
            let message = String(cString: PQerrorMessage(connection))
            disconnect()
            throw ControlError(message)
        }
        let status = PQresultStatus(result)
        if status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK {
            return ControlResult(taking: result)
        }
        let message = String(cString: PQresultErrorMessage(result))
        // PG_DIAG_SQLSTATE
        let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) }
        PQclear(result)
        if PQstatus(connection) != CONNECTION_OK { disconnect() }
        throw ControlError(message, sqlState: state)
    }

    /// The result of the statement just sent; nil where the connection broke.
    ///
    /// Unlike `PQexecParams` it does not wait for ever: keepalives tell that a peer is there, and
    /// `statement_timeout` is the server's, but what lies between may hold an answer back. The
    /// fate of sessions and the catalog are then asked for on a new connection.
    private func answer(on connection: OpaquePointer) throws(ControlError) -> OpaquePointer? {
        let deadline = ContinuousClock.now + Self.answerLimit
        var first: OpaquePointer?
        while true {
            while PQisBusy(connection) == 1 {
                guard Self.waitForInput(of: connection, until: deadline) else {
                    PQclear(first)
                    disconnect()
                    throw ControlError("the server has not answered within \(Self.answerLimit)")
                }
                guard PQconsumeInput(connection) == 1 else {
                    PQclear(first)
                    return nil
                }
            }
            // One statement has one result; another error may follow when the connection ends.
            guard let result = PQgetResult(connection) else { return first }
            if first == nil { first = result } else { PQclear(result) }
        }
    }

    /// More than the server's own `statement_timeout`.
    private static let answerLimit = Duration.seconds(15)

    /// False where nothing has come by the deadline.
    private static func waitForInput(
        of connection: OpaquePointer, until deadline: ContinuousClock.Instant
    ) -> Bool {
        while true {
            let left = (deadline - .now) / .milliseconds(1)
            guard left > 0 else { return false }
            var descriptor = pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
            let ready = poll(&descriptor, 1, Int32(left.rounded(.up)))
            // What is wrong with a descriptor PQconsumeInput will tell.
            if ready > 0 || (ready < 0 && errno != EINTR) { return true }
        }
    }
}
