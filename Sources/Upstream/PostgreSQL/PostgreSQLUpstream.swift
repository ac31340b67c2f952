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

    /// Nothing is connected yet: a server that is down does not keep the proxy from starting.
    ///
    /// Throws `F0000` where the connection string is wrong or asks for what is not supported.
    package init(
        conninfo: String, connectTimeout: TimeAmount, cells: CellTable, logger: Logger
    ) throws(PostgresError) {
        var settings = try PostgreSQLUpstreamSettings(connectionString: conninfo)
        settings.connectTimeout = min(settings.connectTimeout, connectTimeout)
        if settings.hosts.count > 1, settings.target == .any {
            logger.warning(
                """
                upstream.url names several hosts and any of them will do: answers may be read \
                from another server than the one that writes go to. With \
                target_session_attrs=read-write (or primary) they are not.
                """)
        }
        let forget: @Sendable (String) -> Void = { database in
            // Another server, or the same one after a crash: nothing is known of its contents.
            let all = CellSet([
                cells.cell(.schema(database: database)), cells.cell(.catalog(database: database)),
            ])
            logger.notice(
                "the database server was restarted or replaced: its answers are forgotten",
                metadata: ["database": "\(database)"])
            WriteWindow.open(all)?.close(.committed)
        }
        links = try PostgreSQLLinkFactory(settings: settings, onServerChanged: forget)
        postgreSQLAnalyzer = PostgreSQLAnalyzer(
            conninfo: conninfo, cells: cells, logger: logger, onServerChanged: forget)
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

    package func reloadCertificates() throws {
        try links.reloadCertificates()
    }

    package func shutDown() async {
        postgreSQLAnalyzer.close()
    }
}
