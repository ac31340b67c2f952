import CSQLite
import PostgresWire
import Synchronization

/// Tells from memory, without a call into SQLite, whether anything was committed to the database
/// file that has not been taken notice of: a few instructions, for use before every answer from
/// memory, from any thread.
///
/// In WAL mode every commit, whoever makes it, publishes a new header at the beginning of the
/// wal-index: 48 bytes, in memory that all processes using the file share, and twice, the first
/// copy last. No connection sees the commit before that copy is complete.
/// https://www.sqlite.org/walformat.html#the_wal_index_header
///
/// Two words of it are compared with those *confirmed* last:
/// - the one with `iChange`, a counter that each commit moves;
/// - the header's own checksum, because a recovery (after a writer died while it published) starts
///   the counter again.
///
/// **Why equal words mean that nothing is missing.** Whoever confirms reads the header first, then
/// asks `data_version`, which reads the header again and so sees every commit that the first
/// reading had; then it makes stale what was cached, if there was a foreign one; and then it stores
/// what it read first (`SQLiteDatabase.checkForeignWrites`). A header never comes back. So when a
/// reader finds the header equal to the confirmed one, no commit lies between the first reading and
/// now, and what was committed before has been dealt with already. The reader asks *before* it
/// looks into the cache: asked afterwards, the answer could be one that was found before a foreign
/// commit was dealt with, while the header was already confirmed.
package final class CommitWatch: @unchecked Sendable {
    // Sendable: the pointers lead into memory that is mapped while `connection` is open, and that
    // is only read; the connection itself is not used between `init` and `deinit`.

    /// What is compared of the header.
    struct Mark: Equatable {
        /// `iChange` in one half; in the other `isInit`, which is never zero once published.
        let change: UInt64
        let checksum: UInt64
        static let none = Mark(change: 0, checksum: 0)
    }

    private static let formatVersion: UInt32 = 3_007_000
    private static let mappedBytes: Int32 = 32 << 10

    /// Keeps SQLite's own mapping of the `-shm` file alive. A mapping of ours would need a file
    /// descriptor, and to close that would drop the locks which SQLite holds on the file.
    private let connection: SQLiteConnection
    private let change: UnsafePointer<Atomic<UInt64>>
    private let checksum: UnsafePointer<Atomic<UInt64>>
    private let confirmedChange = Atomic<UInt64>(0)
    private let confirmedChecksum = Atomic<UInt64>(0)
    private let hasAsked = Atomic(false)
    private let look = Mutex<(@Sendable () -> Void)?>(nil)

    /// Opens a connection of its own. nil where the database has no wal-index in shared memory: it
    /// is not in WAL mode, or its file system has no shared memory.
    init?(path: String, busyTimeout: Duration) throws {
        let connection = try SQLiteConnection(
            path: path, readOnly: true, busyTimeout: busyTimeout)
        // Reading something maps the wal-index.
        _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
        guard let header = Self.header(of: connection),
            header.load(as: UInt32.self) == Self.formatVersion
        else { return nil }
        self.connection = connection
        change = UnsafePointer((header + 8).assumingMemoryBound(to: Atomic<UInt64>.self))
        checksum = UnsafePointer((header + 40).assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    /// Where SQLite has mapped the first page of the wal-index.
    private static func header(of connection: SQLiteConnection) -> UnsafeMutableRawPointer? {
        var file: UnsafeMutablePointer<sqlite3_file>?
        guard
            sqlite3_file_control(
                connection.handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK,
            let file, let methods = file.pointee.pMethods?.pointee, methods.iVersion >= 2,
            isInWALMode(connection), let map = methods.xShmMap
        else { return nil }
        var page: UnsafeMutableRawPointer?
        guard map(file, 0, mappedBytes, 0, &page) == SQLITE_OK else { return nil }
        return page
    }

    private static func isInWALMode(_ connection: SQLiteConnection) -> Bool {
        guard let statement = try? connection.statement("PRAGMA journal_mode") else { return false }
        defer { statement.reset() }
        guard (try? connection.step(statement)) == true,
            let text = sqlite3_column_text(statement.handle, 0)
        else { return false }
        return String(cString: text) == "wal"
    }

    /// Who is to be told that something was committed; it should look, and `confirm`.
    func whenUnconfirmed(_ look: @escaping @Sendable () -> Void) {
        self.look.withLock { $0 = look }
    }

    /// Whether everything that has been committed up to now, by anyone, has been taken notice of.
    /// If not, sees to it that this happens soon; what is in the cache may then be stale.
    package func seesNothingNew() -> Bool {
        // The counter first: a confirmation stores it last.
        let known = confirmedChange.load(ordering: .acquiring)
        if change.pointee.load(ordering: .acquiring) == known,
            checksum.pointee.load(ordering: .acquiring)
                == confirmedChecksum.load(ordering: .acquiring)
        {
            return true
        }
        ask()
        return false
    }

    private func ask() {
        guard !hasAsked.exchange(true, ordering: .acquiringAndReleasing) else { return }
        look.withLock { $0 }?()
    }

    /// The header as it is now. To be read before the question whether there were foreign commits.
    /// What is committed after this call asks anew.
    func read() -> Mark {
        hasAsked.store(false, ordering: .sequentiallyConsistent)
        return Mark(
            change: change.pointee.load(ordering: .acquiring),
            checksum: checksum.pointee.load(ordering: .acquiring))
    }

    /// Takes note that all commits up to `mark` have been dealt with. On the writer's thread only.
    func confirm(_ mark: Mark) {
        // Between two confirmations nothing is equal, so that halves of them are never mixed.
        confirmedChange.store(Mark.none.change, ordering: .releasing)
        confirmedChecksum.store(mark.checksum, ordering: .sequentiallyConsistent)
        confirmedChange.store(mark.change, ordering: .sequentiallyConsistent)
    }
}
