import ArgumentParser
import Logging
import ProxyConfiguration
import ProxyServer

/// `mynah promote`: makes a node lead, in agreement with the one that does.
struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Make a node lead, without an interruption for clients.",
        discussion: """
            Asks the node that runs with the configuration, over its mirror port. The node that \
            leads lets transactions end for up to 5 s while new ones wait, and then follows. \
            Exits with 0 when the node leads, else with 1 and one error on standard error.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        try await options.withConfiguration { configuration in
            ConsoleLog.install(level: .critical)
            try await ProxyServer.promote(configuration, environment: options.environment)
            print("it leads now")
        }
    }
}
