import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis

/// A PostgreSQL server behind the proxy: links for statements, a control connection per database
/// for everything the proxy itself has to know.
package final class PostgreSQLUpstream: Upstream {
    private let links: PostgreSQLLinkFactory
    private let postgreSQLAnalyzer: PostgreSQLAnalyzer
    private let credentials = ClientCredentials()
    private let secrets: RoleSecretReader

    /// Nothing is connected yet: a server that is down does not keep the proxy from starting.
    ///
    /// Throws `F0000` where the connection string is wrong or asks for what is not supported.
    package init(
        conninfo: String, connectTimeout: TimeAmount, cells: CellTable, logger: Logger
    ) throws(PostgresError) {
        var settings = try PostgreSQLUpstreamSettings(connectionString: conninfo)
        settings.connectTimeout = min(settings.connectTimeout, connectTimeout)
        links = PostgreSQLLinkFactory(settings: settings, credentials: credentials)
        secrets = RoleSecretReader(conninfo: conninfo)
        postgreSQLAnalyzer = PostgreSQLAnalyzer(
            conninfo: conninfo, cells: cells, logger: logger
        ) { database in
            // Another server, or the same one after a crash: nothing is known of its contents.
            let all = CellSet([
                cells.cell(.schema(database: database)), cells.cell(.catalog(database: database)),
            ])
            logger.notice(
                "the database server was restarted or replaced: its answers are forgotten",
                metadata: ["database": "\(database)"])
            WriteWindow.open(all)?.close(.committed)
        }
    }

    package var analyzer: any StatementAnalyzer { postgreSQLAnalyzer }

    package var settingsProbe: String? { SettingsProbe.query }

    package func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        postgreSQLAnalyzer.noteUser(startup.user, database: startup.database)
        return links.makeLink(
            startup: startup, eventLoop: eventLoop, delegate: delegate, probeSettings: true)
    }

    package func checkReachable() async throws {
        try await postgreSQLAnalyzer.reachable()
    }

    package func waitUntilEnded(_ key: BackendKey?, database: String) async throws {
        try await postgreSQLAnalyzer.waitUntilEnded(key: key?.processID, database: database)
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

    package func shutDown() async {
        secrets.close()
        postgreSQLAnalyzer.close()
    }
}
