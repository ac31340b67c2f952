import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import ResultCache
import Upstream

/// Makes the upstream that a configuration names.
struct UpstreamFactory {
    let configuration: ProxyConfiguration
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
                    cells: cells, logger: logger)
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
