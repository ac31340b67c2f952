import ArgumentParser
import ProxyConfiguration

/// The `mynah` program.
@main
struct MynahCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mynah",
        abstract: "A caching reverse proxy for PostgreSQL clients.",
        discussion: """
            Clients connect to Mynah as to PostgreSQL. It answers repeated reads from memory, \
            passes everything else on to a PostgreSQL or SQLite database, and forgets an answer \
            when a write changes what it was read from.
            """,
        version: "mynah \(ProductVersion.text)",
        subcommands: [
            ServeCommand.self, CheckCommand.self, ExplainCommand.self, PromoteCommand.self,
            SnapshotCommand.self,
        ])
}
