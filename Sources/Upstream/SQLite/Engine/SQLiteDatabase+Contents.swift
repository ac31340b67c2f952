import CSQLite
import Crypto
import Foundation
import PostgresWire

extension SQLiteDatabase {
    /// Larger files are not hashed: at about a gigabyte per second that is a second of a start.
    private static let largestHashed: Int64 = 1 << 30
    /// Tries to find a moment in which the log can be emptied.
    private static let attempts = 20

    /// See `Upstream.contents`.
    ///
    /// The contents are those of the file alone once the write-ahead log has been emptied into it. The
    /// header of the log's index, which every commit of every process changes, is read before and
    /// after: where it is the same, nothing was committed in between. nil where the database is not in
    /// WAL mode, is being written, or is large.
    func contents(during body: @escaping @Sendable () -> Void) async -> [String: String]? {
        guard let commitWatch, !isReadOnly else {
            body()
            return nil
        }
        var mark: CommitWatch.Mark?
        for attempt in 0..<Self.attempts {
            if attempt > 0 { try? await Task.sleep(for: .milliseconds(20)) }
            mark = await settle(commitWatch)
            if mark != nil { break }
        }
        body()
        guard let mark, let hash = await digest(), commitWatch.read() == mark else { return nil }
        return [
            "server": "sqlite", "database": name, "sha256": hash.text, "bytes": "\(hash.bytes)",
            "version": String(cString: sqlite3_sourceid()),
        ]
    }

    /// Empties the log into the file, takes notice of what others have committed, and returns where
    /// things stand; nil where somebody is in the way.
    ///
    /// On the writer's connection: one of its own would look to it like another process's commit.
    private func settle(_ commitWatch: CommitWatch) async -> CommitWatch.Mark? {
        await withCheckedContinuation { continuation in
            writer.submit { [self] connection in
                guard case .success(let connection) = connection, !connection.isInTransaction,
                    Self.emptyLog(connection)
                else {
                    continuation.resume(returning: nil)
                    return
                }
                let mark = commitWatch.read()
                do {
                    try checkForeignWrites(connection)
                    continuation.resume(returning: mark)
                } catch {
                    continuation.resume(returning: nil)
                }
            }
        }
    }

    /// Whether nothing is left in the log. Waits for nobody.
    private static func emptyLog(_ connection: SQLiteConnection) -> Bool {
        var isEmpty = false
        connection.withBusyTimeout(.zero) {
            let result = sqlite3_wal_checkpoint_v2(
                connection.handle, "main", SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
            isEmpty = result == SQLITE_OK
        }
        return isEmpty
    }

    /// Of the file, as a reader sees it who needs nothing from the log; nil where one is needed.
    ///
    /// Read through SQLite: to close a descriptor of our own would drop the locks that SQLite holds
    /// on the file. While the reader's transaction lasts nobody can write to the file itself: what is
    /// committed goes to the log, and back into the file only when nobody reads it.
    private func digest() async -> FileDigest? {
        let path = path
        let busyTimeout = settings.busyTimeout
        let worker = SQLiteWorker(name: "sqlite-digest") {
            try SQLiteConnection(path: path, readOnly: true, busyTimeout: busyTimeout)
        }
        let digest: FileDigest? = await withCheckedContinuation { continuation in
            worker.submit { connection in
                let digest = try? connection.get().digestOfFile(limit: Self.largestHashed)
                continuation.resume(returning: digest)
            }
        }
        worker.stop()
        return digest
    }
}

/// Of a whole file.
private struct FileDigest: Sendable {
    let text: String
    let bytes: Int64
}

extension SQLiteConnection {
    /// nil where something is in the log, or the file is larger.
    fileprivate func digestOfFile(limit: Int64) throws -> FileDigest? {
        try configure("BEGIN")
        defer { try? configure("COMMIT") }
        // Begins the reader's transaction.
        _ = try integer("SELECT count(*) FROM sqlite_schema")
        guard let log = file(SQLITE_FCNTL_JOURNAL_POINTER), Self.size(of: log) == 0,
            let main = file(SQLITE_FCNTL_FILE_POINTER), let size = Self.size(of: main),
            size > 0, size <= limit, let read = main.pointee.pMethods?.pointee.xRead
        else { return nil }
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var offset: Int64 = 0
        while offset < size {
            let count = Int(min(Int64(buffer.count), size - offset))
            guard
                buffer.withUnsafeMutableBytes({
                    read(main, $0.baseAddress, Int32(count), offset) == SQLITE_OK
                })
            else { return nil }
            hash.update(data: buffer[..<count])
            offset += Int64(count)
        }
        let text = hash.finalize().map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        return FileDigest(text: text, bytes: size)
    }

    private func file(_ which: Int32) -> UnsafeMutablePointer<sqlite3_file>? {
        var file: UnsafeMutablePointer<sqlite3_file>?
        guard sqlite3_file_control(handle, "main", which, &file) == SQLITE_OK, let file,
            file.pointee.pMethods != nil
        else { return nil }
        return file
    }

    private static func size(of file: UnsafeMutablePointer<sqlite3_file>) -> Int64? {
        var size: sqlite3_int64 = 0
        guard let ask = file.pointee.pMethods?.pointee.xFileSize, ask(file, &size) == SQLITE_OK
        else { return nil }
        return size
    }
}
