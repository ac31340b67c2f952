/// What the SQLite upstream may be told. Every limit has a default that suits one machine.
package struct SQLiteUpstreamSettings: Sendable {
    /// The one name under which clients may connect to the file. nil: the file's name without
    /// its extension. Cached answers and invalidation go by this name.
    package var databaseName: String?
    /// Reading connections, each with a thread of its own, that run at once.
    package var readers = 3
    /// Readers at most, those included that are kept by a snapshot, an unfinished portal or a
    /// client that does not take its rows.
    package var maximumReaders = 32
    /// Links that may wait for a reader, and for the writer.
    package var maximumWaiting = 10_000
    /// How long a statement waits for the writer before it fails with 55P03.
    package var lockTimeout: Duration = .seconds(5)
    /// How long SQLite waits for a lock that another process holds.
    package var busyTimeout: Duration = .seconds(5)
    /// How often the file is checked for what other processes committed, from the first link on.
    /// Zero: before every answer from memory.
    package var externalWriteCheck: Duration = .zero
    /// Reply bytes that may wait for a client before its statement pauses.
    package var replyLimit = 1 << 20
    /// Request bytes of one session that may wait before its client is no longer read from.
    package var requestLimit = 1 << 20
    /// The longest frontend message.
    package var messageLimit = 64 << 20
    /// Bytes of rows kept for an unfinished portal when its session runs another statement.
    package var portalBufferLimit = 64 << 20
    /// Statement texts whose plan and profile are remembered.
    package var memoLimit = 4_096
    /// Prepared statements and portals, each, of one session.
    package var maximumNamedObjects = 10_000

    package init() {}
}
