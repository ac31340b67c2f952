import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis

/// A database behind the proxy. One per process; its links are made per client session.
package protocol Upstream: Sendable {
    /// What tells reads from writes for this database's dialect.
    var analyzer: any StatementAnalyzer { get }

    /// To be asked before every answer from memory whether what others have committed meanwhile has
    /// been taken notice of. nil where nothing can tell, or need not.
    var commitWatch: CommitWatch? { get }

    /// A query that returns rows of name and value, as text: every setting in
    /// `UpstreamGreeting.settings`, and `mynah.temporary_objects` as `t` or `f`. nil where a session's
    /// state can always be followed.
    var settingsProbe: String? { get }

    /// What a client's startup comes to: who logs in where, if that is not as the client says. What is
    /// cached, and what is written, is known by these names.
    func login(for startup: SessionStartup) -> SessionStartup

    /// To be told of every client session that begins. Call before anything else for it.
    func noteSession(_ startup: SessionStartup)

    /// A statement is about to run that fails while anyone is connected to `database`: closes what is
    /// connected to it for nobody's statement. Returns at once.
    func leave(database: String)

    /// The connections that client sessions share; nil where each has one of its own.
    var pools: LinkPools? { get }
    /// Whether links can be made for replication connections.
    var carriesReplication: Bool { get }
    /// Whether statements are analysed here; if not, EXPLAIN CACHE is for the node that is followed.
    var analysesStatements: Bool { get }

    /// Starts connecting one link for a client session. Returns at once; what happens is told to
    /// `delegate`, on `eventLoop`. Call on `eventLoop`.
    func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink

    /// Resolves when the database answers; throws what an operator should read otherwise.
    func checkReachable() async throws

    /// Proves that the server-side session behind `key` has ended, then returns. Waits as long as
    /// that takes; throws only when the task is cancelled. (design §4: no timeout releases a
    /// window whose outcome is unknown.)
    func waitUntilEnded(_ key: BackendKey?, database: String) async throws

    /// Calls `then` once the server-side session behind `key` is proven to have ended: never
    /// sooner, and not at all if the process goes down first. Returns at once; `then` may be
    /// called before that, and on any thread. Call without holding a lock.
    func whenEnded(
        _ key: BackendKey?, database: String, _ then: @escaping @Sendable () -> Void)

    /// What marks a server-side session as this node's, to be repeated when that has given up all its
    /// locks; nil where nothing does.
    var mark: LinkClaim? { get }
    /// Whether sessions may have to be ended because another node leads, so that there must be none that
    /// are not known as a node's.
    var fencesSessions: Bool { get }

    /// Reads the certificates of its connections anew. What was in use stays so where that throws
    /// what an operator should read.
    func reloadCertificates() throws
    /// Notes what a client has shown when it logged in, for connections that are made on its behalf
    /// and that nothing else is configured for. Thread-safe.
    func remember(_ credentials: UpstreamCredentials, forUser user: String)

    /// Asks the database for a user's secret, in the form of `pg_authid.rolpassword`: nil where
    /// there is no such user, it has none, or it may not log in. `completion` is called once, on
    /// any thread.
    func lookUpSecret(
        ofUser user: String, _ question: RoleSecretQuestion,
        _ completion: @escaping @Sendable (Result<Secret?, RoleSecretFailure>) -> Void)

    /// What identifies the contents of the database, by names of its own, if they were the same from
    /// before `body` began until after it ended: two answers that are equal, in whatever processes,
    /// are of equal contents. nil where they changed meanwhile, or nothing can tell. Calls `body`
    /// exactly once.
    func contents(
        _ question: ContentsQuestion, during body: @escaping @Sendable () -> Void
    ) async -> [String: String]?

    /// Ends threads and connections of its own. Called once, after the last link has closed.
    func shutDown() async
}

extension Upstream {
    package var commitWatch: CommitWatch? { nil }
    package var mark: LinkClaim? { nil }
    package var fencesSessions: Bool { false }
    package var pools: LinkPools? { nil }
    package func login(for startup: SessionStartup) -> SessionStartup { startup }
    package func noteSession(_ startup: SessionStartup) {}
    package func leave(database: String) {}

    package var carriesReplication: Bool { false }
    package var analysesStatements: Bool { true }

    /// Nothing can tell.
    package func contents(
        _ question: ContentsQuestion, during body: @escaping @Sendable () -> Void
    ) async -> [String: String]? {
        body()
        return nil
    }

    package func reloadCertificates() throws {}

    /// Does nothing: a database without users.
    package func remember(_ credentials: UpstreamCredentials, forUser user: String) {}

    /// Fails: a database without users.
    package func lookUpSecret(
        ofUser user: String, _ question: RoleSecretQuestion,
        _ completion: @escaping @Sendable (Result<Secret?, RoleSecretFailure>) -> Void
    ) {
        completion(.failure(RoleSecretFailure(reason: "this database keeps no users")))
    }

    /// Waits with `waitUntilEnded`, in a task of its own.
    package func whenEnded(
        _ key: BackendKey?, database: String, _ then: @escaping @Sendable () -> Void
    ) {
        Task {
            do {
                try await waitUntilEnded(key, database: database)
            } catch {
                // Cancelled: the process is going down, and nothing has been proven.
                return
            }
            then()
        }
    }
}

/// How to ask the database for users' secrets (`auth_query`).
package struct RoleSecretQuestion: Hashable, Sendable {
    /// Returns at most one row, whose last column is the secret, for the user's name as `$1`; nil
    /// for `pg_authid` itself.
    package var sql: String?
    /// Whom to ask as; nil for the user of the connection string.
    package var user: String?
    package var password: Secret?
    package var database: String

    package init(sql: String?, user: String?, password: Secret?, database: String) {
        self.sql = sql
        self.user = user
        self.password = password
        self.database = database
    }
}

/// Why a secret could not be asked for: for the log, not for clients.
package struct RoleSecretFailure: Error, Hashable, Sendable {
    package let reason: String

    package init(reason: String) {
        self.reason = reason
    }
}

/// What a client's startup message asked for, as far as the upstream must know it.
package struct SessionStartup: Hashable, Sendable {
    package var user: String
    package var database: String
    /// All other parameters in order of arrival (`options`, `application_name`, `client_encoding` …).
    package var parameters: [Parameter]
    /// nil for an ordinary session.
    package var replication: ReplicationMode?

    package struct Parameter: Hashable, Sendable {
        package var name: String
        package var value: String
        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package init(
        user: String, database: String, parameters: [Parameter],
        replication: ReplicationMode? = nil
    ) {
        self.user = user
        self.database = database
        self.parameters = parameters
        self.replication = replication
    }
}

/// What a server told about itself and the session between authentication and the first
/// ReadyForQuery.
package struct UpstreamGreeting: Sendable {
    /// ParameterStatus messages in the order in which they came.
    package var parameterStatuses: [SessionStartup.Parameter]
    package var backendKey: BackendKey?
    /// Session settings that the server does not report by itself but that answers depend on
    /// (`search_path`, `default_transaction_isolation`, `bytea_output` …), by lower-case name.
    package var settings: [String: String]
    /// The user that statements run as until SET ROLE.
    package var sessionUser: String
    /// The session is marked as this node's by a lock.
    package var isMarked = false
    /// What another Mynah has told of its log by then.
    package var mirrorPosition: MirrorLog.Position?
    /// Greetings of a pool with the same number are the same, but for the key; 0: none.
    package var number: UInt64 = 0

    package init(
        parameterStatuses: [SessionStartup.Parameter], backendKey: BackendKey?,
        settings: [String: String], sessionUser: String
    ) {
        self.parameterStatuses = parameterStatuses
        self.backendKey = backendKey
        self.settings = settings
        self.sessionUser = sessionUser
    }
}

extension UpstreamGreeting {
    /// Whether a session greeted so has the same settings.
    func isSameLogin(as other: UpstreamGreeting) -> Bool {
        parameterStatuses == other.parameterStatuses && settings == other.settings
            && sessionUser == other.sessionUser
    }
}

/// One server-side session, owned by one client session. All calls on the session's event loop.
package protocol UpstreamLink: AnyObject {
    /// Hands over whole frontend messages, in protocol order. May be called before the link is
    /// ready: the bytes wait.
    func send(_ messages: ByteBuffer)

    /// Stops (true) or resumes (false) the flow of replies: back-pressure of a slow client.
    func setPaused(_ paused: Bool)

    /// Asks that the running statement be cancelled, as a CancelRequest would. No reply.
    func cancelRunningStatement()

    /// Calls `then` once no cancel request for this session is under way any more: at once where
    /// there is none.
    func afterCancels(_ then: @escaping () -> Void)

    /// Ends the session in good order (Terminate), or at once if it is in the middle of something.
    func close()
}

extension UpstreamLink {
    package func afterCancels(_ then: @escaping () -> Void) { then() }
}

/// Who a link reports to. All calls on the session's event loop.
package protocol UpstreamLinkDelegate: AnyObject {
    /// Connected, authenticated, and its first ReadyForQuery seen (not passed on).
    func upstreamReady(_ greeting: UpstreamGreeting)

    /// Reply bytes. They need not end at a message boundary.
    func upstreamReceived(_ bytes: ByteBuffer)

    /// How many bytes handed to `send` wait unsent has crossed the limit: stop (false) or
    /// resume (true) reading from the client.
    func upstreamWritabilityChanged(_ isWritable: Bool)

    /// The link is over; nothing further will be called. `error` is what to tell the client.
    /// `mayStillRun` is true where statements sent may yet take effect at the server.
    func upstreamClosed(_ error: PostgresError, mayStillRun: Bool)
}
