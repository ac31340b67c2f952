import ProxyConfiguration
import Snapshots

extension SnapshotKey {
    /// The key that `[snapshot]` names; nil where it names none. Throws `StartError` where it cannot
    /// be used.
    init?(
        _ configuration: ProxyConfiguration.Snapshot, environment: [String: String]
    ) throws(StartError) {
        let source = KeySource(
            section: "snapshot", file: configuration.keyFile,
            variable: configuration.keyEnvironment)
        guard let source else { return nil }
        self = try source.read(environment: environment) { try? SnapshotKey($0) }
    }

    /// - Parameter option: of the command line, by which the file was given.
    package init(file: String, option: String) throws {
        self = try KeySource(place: .file(file), name: option).read(environment: [:]) {
            try? SnapshotKey($0)
        }
    }
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
