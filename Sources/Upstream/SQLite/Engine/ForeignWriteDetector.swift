import CSQLite
import Foundation
import PostgresWire
import Synchronization

/// Which file a path leads to.
struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    /// Throws what an operator should read where there is no such file.
    init(path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw PostgresError(
                .connectionFailure, "the SQLite database \(path) does not exist",
                hint: "Create it first, or correct the path; it is never created by itself.")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PostgresError(
                .connectionFailure, "the SQLite database \(path) is not a regular file")
        }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}

/// Sees the commits of other processes, and that the file was replaced underneath.
final class ForeignWriteDetector: Sendable {
    enum Change: Sendable {
        case none
        case data
        case schema
        /// Another file lies at the path: what the connections have open is no longer it.
        case file
    }

    private struct Seen {
        var dataVersion: Int64?
        var schemaVersion: Int64?
        var identity: FileIdentity?
    }

    private let path: String
    private let seen: Mutex<Seen>

    init(path: String, identity: FileIdentity) {
        self.path = path
        seen = Mutex(Seen(identity: identity))
    }

    /// What changed since the last call. On the writer's thread; a few microseconds.
    ///
    /// `data_version` moves on this connection exactly when another connection has committed to
    /// the file. https://www.sqlite.org/pragma.html#pragma_data_version
    func check(_ connection: SQLiteConnection) throws -> Change {
        let dataVersion = try connection.integer("PRAGMA data_version")
        let identity = try? FileIdentity(path: path)
        let known = seen.withLock { $0 }
        guard identity == known.identity else {
            seen.withLock { $0.identity = identity }
            return .file
        }
        guard dataVersion != known.dataVersion else { return .none }
        let schemaVersion = try connection.integer("PRAGMA schema_version")
        seen.withLock { seen in
            seen.dataVersion = dataVersion
            seen.schemaVersion = schemaVersion
        }
        // The first look only takes stock.
        if known.dataVersion == nil { return .none }
        return schemaVersion == known.schemaVersion ? .data : .schema
    }

    /// Takes note of a schema change of our own, so that the next foreign commit is not taken for
    /// one. `version` is the schema's as the change left it, read before anybody else could change
    /// it further.
    func schemaChangedByUs(to version: Int64?) {
        seen.withLock { $0.schemaVersion = version }
    }
}
