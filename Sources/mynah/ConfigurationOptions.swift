import ArgumentParser
import Foundation
import ProxyConfiguration
import ProxyServer

/// The option that all commands take, and how they report what is wrong with what it names.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: [.long, .short],
        help: ArgumentHelp(
            "The configuration file.",
            discussion: """
                MYNAH_LISTEN_ADDRESS, MYNAH_LISTEN_METRICS and MYNAH_UPSTREAM_URL in the \
                environment go before listen.address, listen.metrics and upstream.url in it.
                """,
            valueName: "file"))
    var config: String = "proxy.conf"

    var environment: [String: String] {
        ProcessInfo.processInfo.environment
    }

    /// Loads the configuration and runs `work` with it. Any error is printed in one line to
    /// standard error, with the file and line of its key where it is about one, and ends the
    /// process with code 1.
    func withConfiguration(
        _ work: (ProxyConfiguration) async throws -> Void
    ) async throws {
        var loaded: ProxyConfiguration?
        do {
            let configuration = try ProxyConfiguration.load(file: config, environment: environment)
            loaded = configuration
            try await work(configuration)
        } catch {
            let line = Self.describe(error, loaded)
                .split(whereSeparator: \.isNewline).joined(separator: " ")
            FileHandle.standardError.write(Data("mynah: \(line)\n".utf8))
            throw ExitCode.failure
        }
    }

    private static func describe(
        _ error: any Error, _ configuration: ProxyConfiguration?
    ) -> String {
        guard let configuration, let start = error as? StartError,
            let key = ConfigurationKey(rawValue: start.key)
        else { return "\(error)" }
        return configuration.error(about: key, start.problem, allowed: start.allowed).description
    }
}
