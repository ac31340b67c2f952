import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import ResultCache
import Telemetry
import Upstream

/// Makes the upstream that a configuration names.
struct UpstreamFactory {
    let configuration: ProxyConfiguration
    var metrics: ProxyMetrics? = nil
    let logger: Logger

    /// Throws `StartError` where the database file cannot be opened or the URL asks for something
    /// that is not supported.
    func make(cells: CellTable, group: MultiThreadedEventLoopGroup) throws -> any Upstream {
        do {
            switch configuration.upstream.database {
            case .postgresql(let url):
                return try PostgreSQLUpstream(
                    conninfo: url.text,
                    connectTimeout: TimeAmount(configuration.upstream.connectTimeout),
                    pool: PoolSettings(configuration.pool), cells: cells, metrics: metrics,
                    logger: logger)
            case .primary:
                return try PostgreSQLUpstream(
                    conninfo: nil,
                    connectTimeout: TimeAmount(configuration.upstream.connectTimeout),
                    pool: PoolSettings(configuration.pool), cells: cells, metrics: metrics,
                    logger: logger)
            case .sqlite(let path):
                return try SQLiteUpstream(
                    path: path, settings: SQLiteUpstreamSettings(configuration.sqlite),
                    cells: cells, logger: logger)
            }
        } catch {
            throw StartError(key: "upstream.url", problem: "\(error)")
        }
    }
}

extension PoolSettings {
    /// What `[pool]` asks for.
    init(_ configuration: ProxyConfiguration.Pool) {
        func nanoseconds(_ duration: Duration) -> UInt64? {
            duration == .zero ? nil : UInt64(max(0, TimeAmount(duration).nanoseconds))
        }
        self.init(
            mode: configuration.mode == .session ? .session : .transaction,
            size: configuration.size,
            minimumIdle: min(configuration.minimumIdle, configuration.size),
            maximumLifetime: nanoseconds(configuration.maximumLifetime),
            idleTimeout: nanoseconds(configuration.idleTimeout),
            checkoutTimeout: nanoseconds(configuration.checkoutTimeout) ?? 1,
            maximumClients: configuration.clientConnections == 0
                ? nil : configuration.clientConnections,
            maximumStatements: configuration.preparedStatements)
    }
}

extension SQLiteUpstreamSettings {
    /// What `[sqlite]` asks for.
    fileprivate init(_ configuration: ProxyConfiguration.SQLite) {
        self.init()
        readers = configuration.readers
        maximumReaders = max(maximumReaders, configuration.readers)
        lockTimeout = configuration.lockTimeout
        busyTimeout = configuration.lockTimeout
        externalWriteCheck = configuration.externalWriteCheck
    }
}
