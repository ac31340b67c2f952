import ArgumentParser
import Foundation
import Logging
import PostgresWire
import ProxyConfiguration
import ProxyServer

/// `mynah explain`: how does the cache see one statement?
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say whether a statement is cached, and why not.",
        discussion: """
            Asks the proxy that runs with the configuration, as EXPLAIN CACHE does in any client. \
            Where none is running, the statement is analysed with the configuration's database, \
            and nothing can be said of entries. Exits with 0 when there is an explanation, else \
            with 1 and one error on standard error.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Option(name: [.long, .customShort("U")], help: "The user to ask as.")
    var user: String?

    @Option(name: [.long, .short], help: "The database to ask about.")
    var database: String?

    @Option(help: "The search_path of the session.")
    var searchPath: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A setting of the session; may be given several times.", valueName: "name=value"))
    var settings: [String] = []

    @Option(
        help: ArgumentHelp(
            "The types that the application declares for $1 and so on, commas in between.",
            valueName: "types"))
    var parameterTypes: String?

    @Argument(help: "The statement, or - to read it from standard input.")
    var statement: String

    func validate() throws {
        _ = try sessionSettings()
        _ = try declaredTypes()
    }

    func run() async throws {
        try await options.withConfiguration { configuration in
            ConsoleLog.install(level: .critical)
            let answer = try await ProxyServer.explain(
                ExplainRequest(
                    sql: try sql(), user: user, database: database,
                    settings: try sessionSettings(), parameterTypes: try declaredTypes()),
                configuration)
            if !answer.isFromRunningProxy {
                let note = "mynah: no proxy is running: nothing can be said of entries\n"
                FileHandle.standardError.write(Data(note.utf8))
            }
            print(answer.table, terminator: "")
        }
    }

    private func sql() throws -> String {
        guard statement == "-" else { return statement }
        let data = try FileHandle.standardInput.readToEnd() ?? Data()
        guard let text = String(data: data, encoding: .utf8), !data.contains(0) else {
            throw ValidationError("standard input is not a UTF-8 text")
        }
        // The line break after a statement is the shell's, not the application's.
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    private func sessionSettings() throws -> [(name: String, value: String)] {
        var all: [(name: String, value: String)] = []
        if let searchPath { all.append(("search_path", searchPath)) }
        for setting in settings {
            guard let equals = setting.firstIndex(of: "="), equals > setting.startIndex else {
                throw ValidationError("--set takes name=value, not \"\(setting)\"")
            }
            all.append(
                (String(setting[..<equals]), String(setting[setting.index(after: equals)...])))
        }
        return all
    }

    private func declaredTypes() throws -> [PostgresType] {
        try (parameterTypes?.split(separator: ",") ?? []).map { name in
            guard let type = PostgresType(named: String(name)) else {
                throw ValidationError("--parameter-types: no built-in type \"\(name)\"")
            }
            return type
        }
    }
}
