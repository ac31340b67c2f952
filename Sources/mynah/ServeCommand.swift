import ArgumentParser
import Logging
import ProxyConfiguration
import ProxyServer

/// `mynah serve`: the proxy itself.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the proxy until it is told to stop.",
        discussion: """
            SIGTERM and SIGINT stop it: no new sessions, running statements finish within \
            limits.drain_timeout. SIGHUP reads the configuration file again.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        try await options.withConfiguration { configuration in
            ConsoleLog.install(level: Logger.Level(configuration.log.level))
            let server = ProxyServer(
                configuration: configuration, configurationFile: options.config,
                environment: options.environment, logger: Logger(label: "mynah"),
                setLogLevel: { ConsoleLog.level = $0 })
            try await server.run()
        }
    }
}

extension Logger.Level {
    /// swift-log's level of the same name.
    init(_ level: ProxyConfiguration.LogLevel) {
        self =
            switch level {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
    }
}
