import Foundation

/// The directory that a proxy keeps its snapshots in.
package struct SnapshotDirectory: Hashable, Sendable {
    package let path: String

    static let temporaryPrefix = ".mynah-snapshot-"
    private static let prefix = "mynah-"
    private static let suffix = ".snapshot"

    package init(path: String) { self.path = path }

    /// The socket by which a running proxy can be told to save and restore.
    package var socket: String { "\(path)/control.sock" }

    /// Makes the directory if it is missing. Throws where somebody else owns it or could write to it.
    package func prepare() throws(SnapshotError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .last("cannot make \(path)") }
        var status = stat()
        guard stat(path, &status) == 0 else { throw .last("cannot look at \(path)") }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .system(call: "cannot use \(path)", code: ENOTDIR)
        }
        guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
            throw .system(
                call: "cannot use \(path), which others own or can write to (chmod 0700)",
                code: EPERM)
        }
    }

    /// Removes what a process that was killed has left half written. To be called by the one process
    /// that uses the directory.
    package func removeUnfinished() throws(SnapshotError) {
        for name in try names() where name.hasPrefix(Self.temporaryPrefix) {
            unlink("\(path)/\(name)")
        }
    }

    /// A name for a snapshot made at this time, in milliseconds since 1970: later ones sort behind
    /// earlier ones.
    package func name(created: UInt64) -> String {
        var seconds = time_t(created / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let text = String(
            format: "%04d%02d%02dT%02d%02d%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
            parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, Int32(created % 1000))
        return "\(path)/\(Self.prefix)\(text)\(Self.suffix)"
    }

    /// The paths of the snapshots there are, the newest first.
    package func snapshots() throws(SnapshotError) -> [String] {
        try names().filter { $0.hasPrefix(Self.prefix) && $0.hasSuffix(Self.suffix) }
            .sorted(by: >).map { "\(path)/\($0)" }
    }

    /// Removes all but the newest `keep`. Returns how many are gone.
    @discardableResult
    package func prune(keep: Int) throws(SnapshotError) -> Int {
        let old = try snapshots().dropFirst(max(1, keep))
        return old.count { unlink($0) == 0 }
    }

    private func names() throws(SnapshotError) -> [String] {
        guard let stream = opendir(path) else { throw .last("cannot read \(path)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return names
    }

    static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let directory = slash == path.startIndex ? "/" : String(path[..<slash])
        return (directory, String(path[path.index(after: slash)...]))
    }
}
