import PostgresWire
import Synchronization

/// Asks a server for the secrets of its roles, over a control connection of its own. Thread-safe.
///
/// Nothing of a client's but its user's name goes there, as a parameter: no setting, no database.
/// Whatever the question, a role that may not log in, or whose password has expired, has no secret
/// (CVE-2025-2291), and names in it mean what they mean with an empty search_path (CVE-2025-12819).
final class RoleSecretReader: Sendable {
    private struct State {
        var question: RoleSecretQuestion?
        var connection: ControlConnection?
        var isClosed = false
    }

    private let conninfo: String
    private let state = Mutex(State())

    init(conninfo: String) {
        self.conninfo = conninfo
    }

    /// `completion` is called once: on the connection's thread, or on the caller's.
    func lookUp(
        _ user: String, _ question: RoleSecretQuestion,
        _ completion: @escaping @Sendable (Result<Secret?, RoleSecretFailure>) -> Void
    ) {
        guard let connection = connection(for: question) else {
            completion(.failure(RoleSecretFailure(reason: "the proxy is stopping")))
            return
        }
        connection.submit { session in
            guard let session else {
                completion(.failure(RoleSecretFailure(reason: "too many questions are waiting")))
                return
            }
            do throws(ControlError) {
                completion(.success(try Self.secret(of: user, question, session)))
            } catch {
                completion(.failure(RoleSecretFailure(reason: error.message)))
            }
        }
    }

    func close() {
        let connection = state.withLock { state in
            state.isClosed = true
            defer { state.connection = nil }
            return state.connection
        }
        connection?.close()
    }

    /// The connection for `question`; one for another question, which a changed configuration
    /// asked, is closed.
    private func connection(for question: RoleSecretQuestion) -> ControlConnection? {
        let (connection, old) = state.withLock {
            state -> (ControlConnection?, ControlConnection?) in
            guard !state.isClosed else { return (nil, nil) }
            if let connection = state.connection, state.question == question {
                return (connection, nil)
            }
            let old = state.connection
            let connection = ControlConnection(
                conninfo: conninfo, database: question.database, user: question.user,
                password: question.password, onServerChanged: {})
            state.connection = connection
            state.question = question
            return (connection, old)
        }
        old?.close()
        return connection
    }

    private static func secret(
        of user: String, _ question: RoleSecretQuestion, _ session: ControlSession
    ) throws(ControlError) -> Secret? {
        guard let sql = question.sql else {
            return try secret(in: try session.query(fromCatalog, [user]))
        }
        guard let secret = try secret(in: try session.query(configured: sql, [user])) else {
            return nil
        }
        let rows = try session.query(mayLogIn, [user])
        return rows.boolean(0, 0) ? secret : nil
    }

    private static func secret(in rows: ControlResult) throws(ControlError) -> Secret? {
        guard rows.rowCount <= 1 else {
            throw ControlError("auth_query has returned more than one row")
        }
        return rows.text(0, rows.columnCount - 1).map { Secret($0) }
    }

    private static let fromCatalog: StaticString = """
        SELECT rolpassword FROM pg_catalog.pg_authid
        WHERE rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text AND rolcanlogin
            AND (rolvaliduntil IS NULL
                OR rolvaliduntil OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp())
        """

    /// For who may not read `pg_authid`.
    private static let mayLogIn: StaticString = """
        SELECT EXISTS (SELECT FROM pg_catalog.pg_roles
            WHERE rolname OPERATOR(pg_catalog.=) $1::pg_catalog.text AND rolcanlogin
                AND (rolvaliduntil IS NULL
                    OR rolvaliduntil OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp()))
        """
}
