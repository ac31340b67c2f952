import Foundation
import ProxyConfiguration
import Snapshots
import Upstream

extension SnapshotKey {
    /// The key that `[snapshot]` names; nil where it names none. Throws `StartError` where it cannot
    /// be used.
    init?(
        _ configuration: ProxyConfiguration.Snapshot, environment: [String: String]
    ) throws {
        if let file = configuration.keyFile {
            try self.init(file: file, configurationKey: "snapshot.key_file")
        } else if let variable = configuration.keyEnvironment {
            guard let text = environment[variable] else {
                throw StartError(
                    key: "snapshot.key_env",
                    problem: "there is no environment variable \(variable)",
                    allowed: Self.allowed)
            }
            do {
                try self.init(text)
            } catch {
                throw StartError(
                    key: "snapshot.key_env", problem: "\(variable): \(error)", allowed: Self.allowed
                )
            }
        } else {
            return nil
        }
    }

    /// - Parameter configurationKey: what an error is about.
    package init(file: String, configurationKey: String) throws {
        switch KeyFile.access(file) {
        case .readable: break
        case .missing:
            throw StartError(
                key: configurationKey, problem: "\(file): no such file", allowed: Self.allowed)
        case .unreadable:
            throw StartError(key: configurationKey, problem: "\(file): cannot be read")
        }
        guard KeyFile.isPrivate(file) else {
            throw StartError(
                key: configurationKey, problem: "\(file): others can read it",
                allowed: "allowed: a file that its owner alone can read (chmod 0600)")
        }
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        do {
            try self.init(text)
        } catch {
            throw StartError(
                key: configurationKey, problem: "\(file): \(error)", allowed: Self.allowed)
        }
    }

    private static let allowed = "allowed: 32 bytes as 64 hexadecimal digits or in base64"
}

extension ProxyServer {
    /// The key that a configuration's snapshots are encrypted with; nil where they are not. Throws
    /// `StartError` where it cannot be used.
    package static func snapshotKey(
        _ configuration: ProxyConfiguration, environment: [String: String]
    ) throws -> SnapshotKey? {
        try SnapshotKey(configuration.snapshot, environment: environment)
    }
}
