import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry

/// A PostgreSQL server behind the proxy: links for statements, a control connection per database
/// for everything the proxy itself has to know.
package final class PostgreSQLUpstream: Upstream {
    private let links: PostgreSQLLinkFactory
    private let postgreSQLAnalyzer: PostgreSQLAnalyzer
    private let linkPools: LinkPools

    /// Nothing is connected yet: a server that is down does not keep the proxy from starting.
    ///
    /// Throws `F0000` where the connection string is wrong or asks for what is not supported.
    package init(
        conninfo: String, connectTimeout: TimeAmount, pool: PoolSettings, cells: CellTable,
        metrics: ProxyMetrics?, logger: Logger
    ) throws(PostgresError) {
        var settings = try PostgreSQLUpstreamSettings(connectionString: conninfo)
        settings.connectTimeout = min(settings.connectTimeout, connectTimeout)
        let links = PostgreSQLLinkFactory(settings: settings)
        self.links = links
        let analyzer = PostgreSQLAnalyzer(
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
        postgreSQLAnalyzer = analyzer
        linkPools = LinkPools(
            settings: pool, user: settings.user, database: settings.database, metrics: metrics,
            generation: { cells.cell(.catalog(database: $0)).current }
        ) { startup, eventLoop, delegate in
            links.makeLink(
                startup: startup, eventLoop: eventLoop, delegate: delegate, probeSettings: true)
        }
    }

    package var pools: LinkPools? { linkPools }

    /// To be told of every client session before it needs anything of the database.
    package func noteSession(_ startup: SessionStartup) {
        postgreSQLAnalyzer.noteUser(startup.user, database: startup.database)
    }

    package func leave(database: String) {
        linkPools.leave(database: database)
        postgreSQLAnalyzer.leave(database: database)
    }

    package var analyzer: any StatementAnalyzer { postgreSQLAnalyzer }

    package var carriesReplication: Bool { true }

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
        try await postgreSQLAnalyzer.reachable()
    }

    package func waitUntilEnded(_ key: BackendKey?, database: String) async throws {
        try await postgreSQLAnalyzer.waitUntilEnded(key: key?.processID, database: database)
    }

    package func shutDown() async {
        linkPools.close()
        postgreSQLAnalyzer.close()
    }
}
