import ArgumentParser
import Foundation
import ProxyConfiguration
import ProxyServer
import Snapshots

/// `mynah snapshot`: the cache as a file.
struct SnapshotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Save the cache to a file, look at such files, restore them.",
        discussion: """
            save and restore ask the running proxy, by the socket in snapshot.directory; info and \
            verify read a file themselves. All exit with 0 when it is done, else with 1 and one \
            error on standard error.
            """,
        subcommands: [Save.self, Info.self, Verify.self, Restore.self])

    struct Save: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the running proxy write a snapshot.",
            discussion: """
                In one step: whoever looks finds the whole file or none. In snapshot.directory, \
                where snapshot.keep then holds, or in the file given.
                """)

        @OptionGroup var options: ConfigurationOptions

        @Option(name: [.long, .short], help: "The file to write, instead of one in the directory.")
        var output: String?

        func run() async throws {
            try await options.withConfiguration { configuration in
                let client = try SnapshotControlClient(configuration)
                print(try await client.order("save" + (output.map { " \(absolute($0))" } ?? "")))
            }
        }
    }

    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the running proxy use a snapshot.",
            discussion: """
                Its answers are used where it can be shown that the database has not changed since; \
                otherwise its statements are run again in the background.
                """)

        @OptionGroup var options: ConfigurationOptions

        @Argument(help: "The snapshot.")
        var file: String

        func run() async throws {
            try await options.withConfiguration { configuration in
                let client = try SnapshotControlClient(configuration)
                print(try await client.order("restore \(absolute(file))"))
            }
        }
    }

    struct Info: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what a snapshot holds, after checking all of it.")

        @OptionGroup var options: SnapshotFileOptions

        func run() async throws {
            try options.withImage { image in print(image.description(of: options.file)) }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that a snapshot is whole and unchanged.")

        @OptionGroup var options: SnapshotFileOptions

        func run() async throws {
            try options.withImage { image in
                print("\(options.file): whole, \(image.replyCount) answers")
            }
        }
    }
}

/// The proxy may run in another directory.
private func absolute(_ path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.path
}

/// A snapshot, and the key that it may be encrypted with.
struct SnapshotFileOptions: ParsableArguments {
    @Option(
        name: [.long, .short],
        help: ArgumentHelp(
            "A configuration file whose snapshot.key_file or key_env has the key.",
            valueName: "file"))
    var config: String?

    @Option(help: "The file with the key.")
    var keyFile: String?

    @Argument(help: "The snapshot.")
    var file: String

    /// Reads the file and runs `work` with it. Any error is printed in one line to standard error
    /// and ends the process with code 1.
    func withImage(_ work: (SnapshotImage) throws -> Void) throws {
        do {
            let image: SnapshotImage
            let key = try key()
            do {
                // No answer is kept: a file may be larger than memory.
                image = try SnapshotFile.read(file, key: key, maximumBytes: 0)
            } catch {
                throw Failure(text: "\(file): \(error)")
            }
            try work(image)
        } catch {
            let line = "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ")
            FileHandle.standardError.write(Data("mynah: \(line)\n".utf8))
            throw ExitCode.failure
        }
    }

    private struct Failure: Error, CustomStringConvertible {
        let text: String
        var description: String { text }
    }

    private func key() throws -> SnapshotKey? {
        if let keyFile { return try SnapshotKey(file: keyFile, option: "--key-file") }
        guard let config else { return nil }
        let environment = ProcessInfo.processInfo.environment
        let configuration = try ProxyConfiguration.load(file: config, environment: environment)
        return try ProxyServer.snapshotKey(configuration, environment: environment)
    }
}

extension SnapshotImage {
    fileprivate func description(of file: String) -> String {
        let created = Date(timeIntervalSince1970: Double(header.created) / 1000)
        var logins: [String: Int] = [:]
        for identity in identities.values { logins[identity.database, default: 0] += 1 }
        let databases = logins.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value) logins)" }
        let lines = [
            ("file", file),
            ("format", "\(SnapshotHeader.formatVersion)"),
            ("written", created.formatted(.iso8601)),
            ("by", "Mynah \(provenance.product)"),
            ("encrypted", header.isEncrypted ? "yes" : "no"),
            ("bytes", "\(size)"),
            ("answers", "\(replyCount)"),
            ("databases", databases.joined(separator: ", ")),
            (
                "provable",
                provenance.contents.map { "yes, by \($0["server"] ?? "the database")" }
                    ?? "no: a list of statements to run again"
            ),
        ]
        return lines.map { $0.0.padding(toLength: 11, withPad: " ", startingAt: 0) + $0.1 }
            .joined(separator: "\n")
    }
}
