import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Synchronization
import Telemetry

/// A PostgreSQL server behind the proxy: links for statements, a control connection per database
/// for everything the proxy itself has to know.
package final class PostgreSQLUpstream: Upstream {
    private let links: PostgreSQLLinkFactory
    private let postgreSQLAnalyzer: PostgreSQLAnalyzer
    private let linkPools: LinkPools
    private let credentials = ClientCredentials()
    private let secrets: RoleSecretReader
    private let hasServer: Bool
    private let fences = Atomic(false)
    private let witness: ContentsWitness

    /// Nothing is connected yet: a server that is down does not keep the proxy from starting.
    ///
    /// `conninfo`: nil where there is no server but the one that links are redirected to.
    ///
    /// Throws `F0000` where the connection string is wrong or asks for what is not supported.
    package init(
        conninfo: String?, connectTimeout: TimeAmount, pool: PoolSettings, cells: CellTable,
        metrics: ProxyMetrics?, logger: Logger
    ) throws(PostgresError) {
        let hasServer = conninfo != nil
        self.hasServer = hasServer
        let conninfo = conninfo ?? "postgresql://"
        var settings =
            hasServer
            ? try PostgreSQLUpstreamSettings(connectionString: conninfo)
            : PostgreSQLUpstreamSettings(
                // Never connected to: links are redirected, or fail.
                hosts: [PostgreSQLAddress(host: "127.0.0.1", port: 1)])
        settings.connectTimeout = min(settings.connectTimeout, connectTimeout)
        secrets = RoleSecretReader(conninfo: conninfo)
        witness = ContentsWitness(
            conninfo: conninfo, namesUser: settings.user != nil,
            // The answers may be those of another server than the one that is asked.
            canTell: settings.hosts.count == 1 || settings.target != .any
        ) {
            logger.notice(
                "the database server was restarted or replaced: all answers are forgotten")
            cells.open(CellSet([cells.cell(.cluster)]))?.close(.committed)
        }
        if settings.hosts.count > 1, settings.target == .any {
            logger.warning(
                """
                upstream.url names several hosts and any of them will do: answers may be read \
                from another server than the one that writes go to. With \
                target_session_attrs=read-write (or primary) they are not.
                """)
        }
        let forget: @Sendable (String, ContentsDoubt) -> Void = { database, doubt in
            let all = CellSet([
                cells.cell(.schema(database: database)), cells.cell(.catalog(database: database)),
            ])
            logger.log(
                level: doubt == .serverChanged ? .notice : .info,
                "the answers of a database are forgotten",
                metadata: ["database": "\(database)", "reason": "\(doubt.rawValue)"])
            cells.open(all)?.close(.committed)
        }
        let links = try PostgreSQLLinkFactory(
            settings: settings, credentials: credentials,
            onServerChanged: { forget($0, .serverChanged) })
        self.links = links
        postgreSQLAnalyzer = PostgreSQLAnalyzer(
            conninfo: hasServer ? conninfo : nil, cells: cells, logger: logger,
            onDoubt: forget)
        linkPools = LinkPools(
            settings: pool, user: settings.user, database: settings.database, metrics: metrics,
            // Both only grow.
            generation: {
                cells.cell(.catalog(database: $0)).current &+ cells.cell(.cluster).current
            }
        ) { startup, eventLoop, delegate in
            links.makeLink(
                startup: startup, eventLoop: eventLoop, delegate: delegate, probeSettings: true)
        }
    }

    package var pools: LinkPools? { linkPools }

    package func login(for startup: SessionStartup) -> SessionStartup {
        var login = startup
        login.user = links.settings.user ?? startup.user
        login.database = links.settings.database ?? startup.database
        return login
    }

    /// To be told of every client session before it needs anything of the database.
    package func noteSession(_ startup: SessionStartup) {
        postgreSQLAnalyzer.noteUser(startup.user, database: startup.database)
    }

    package func leave(database: String) {
        linkPools.leave(database: database)
        postgreSQLAnalyzer.leave(database: database)
        witness.leave(database: database)
    }

    package var analyzer: any StatementAnalyzer { postgreSQLAnalyzer }

    package var carriesReplication: Bool { true }

    package var analysesStatements: Bool { hasServer }

    package var settingsProbe: String? { SettingsProbe.query }

    package func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        if startup.replication != .physical {
            postgreSQLAnalyzer.noteUser(startup.user, database: startup.database)
        }
        return links.makeLink(
            startup: startup, eventLoop: eventLoop, delegate: delegate,
            probeSettings: startup.replication == nil)
    }

    package func checkReachable() async throws {
        guard hasServer else {
            if links.isPrimaryKnown { return }
            throw ControlError("the node that leads has not been reached")
        }
        try await postgreSQLAnalyzer.reachable()
    }

    /// Where links lead from now on. Those that there are go when they are given back.
    package func redirect(to destination: LinkDestination) {
        links.redirect(to: destination)
        linkPools.replaceLinks()
        if destination != .unknownPrimary { linkPools.resume() }
    }

    /// Lets what transactions there are end, while new ones wait until it is known where they are to
    /// go (`redirect`), or for `patience` at most. Returns how many connections are still in use.
    package func quiesce(patience: Duration) async -> Int {
        let pause = linkPools.pause()
        Task { [linkPools] in
            try? await Task.sleep(for: patience * 3)
            linkPools.resume(pause)
        }
        let end = ContinuousClock.now + patience
        while true {
            let busy = linkPools.figures.reduce(0) { $0 + $1.busy + $1.connecting }
            if busy == 0 || ContinuousClock.now >= end { return busy }
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Links lead to the server from now on, marked as this node's.
    package func lead(_ claim: LinkClaim) {
        links.setClaim(claim)
        redirect(to: .server)
    }

    /// This node leads no more: links to the server are ended, whoever has them, before this returns.
    package func stepDown() async {
        redirect(to: .unknownPrimary)
        links.setClaim(nil)
        await linkPools.endLinks(Self.steppedDown)
    }

    /// The node that leads does not answer: links to it are ended, whoever has them, before this
    /// returns, and there are none before it is known where to go.
    package func abandonPrimary() async {
        redirect(to: .unknownPrimary)
        await linkPools.endLinks(Self.primaryIsSilent)
    }

    private static let primaryIsSilent = PostgresError(
        .connectionFailure, "the node that leads does not answer any more", severity: .fatal,
        hint: "Connect again in a moment: another node may lead by then.")

    private static let steppedDown = PostgresError(
        "57P03", "this node does not lead any more", severity: .fatal,
        hint: "Connect again in a moment: the node that leads by then answers.")

    package var mark: LinkClaim? { links.isRedirected ? nil : links.claim }

    package var fencesSessions: Bool { fences.load(ordering: .relaxed) }

    /// Another node may lead one day. Call before clients are let in.
    package func expectFencing() { fences.store(true, ordering: .relaxed) }

    package func waitUntilEnded(_ key: BackendKey?, database: String) async throws {
        // What is done through another Mynah that one answers for.
        guard hasServer else { return }
        try await postgreSQLAnalyzer.waitUntilEnded(key: key?.processID, database: database)
    }

    package func reloadCertificates() throws {
        try links.reloadCertificates()
    }

    package func remember(_ credentials: UpstreamCredentials, forUser user: String) {
        self.credentials.remember(credentials, of: user)
    }

    package func lookUpSecret(
        ofUser user: String, _ question: RoleSecretQuestion,
        _ completion: @escaping @Sendable (Result<Secret?, RoleSecretFailure>) -> Void
    ) {
        secrets.lookUp(user, question, completion)
    }

    package func contents(
        _ question: ContentsQuestion, during body: @escaping @Sendable () -> Void
    ) async -> [String: String]? {
        await witness.contents(question, during: body)
    }

    package func shutDown() async {
        witness.close()
        linkPools.close()
        secrets.close()
        postgreSQLAnalyzer.close()
    }
}
