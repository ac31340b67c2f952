import ArgumentParser
import Logging
import ProxyConfiguration
import ProxyServer

/// `mynah check`: would it start, and with which settings?
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Validate a configuration and print the settings in effect.",
        discussion: """
            Passwords are masked. Without --file-only, also tries what a start would need: the \
            addresses to listen on are free, and the database can be reached. Exits with 0 when \
            all is well, else with 1 and one error on standard error.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(
        help: """
            Check the files alone, not addresses and database; for a file that a running proxy is \
            about to reload.
            """)
    var fileOnly = false

    func run() async throws {
        try await options.withConfiguration { configuration in
            ConsoleLog.install(level: max(.warning, Logger.Level(configuration.log.level)))
            print(configuration.effectiveText, terminator: "")
            try ProxyServer.checkFiles(configuration, environment: options.environment)
            if !fileOnly {
                try await ProxyServer.preflight(configuration)
            }
        }
    }
}
