import DequeModule
import NIOCore
import PostgresWire
import SQLAnalysis

/// One client session as the SQLite upstream sees it: PostgreSQL's side of the protocol, carried
/// out on whichever worker's thread serves the session at the moment.
///
/// Its link gives it frames and a place to run, one run at a time. Where it finds itself on a
/// reader with something to write (or the other way round) it stops before it has done anything
/// of that statement and asks for the other place.
/// https://www.postgresql.org/docs/15/protocol-flow.html
final class SQLiteSession: @unchecked Sendable {
    // Sendable: touched by one run at a time, and a run happens before the next by way of the
    // event loop. `cancellation` is safe from anywhere.

    /// Where a run takes place.
    struct Place {
        let connection: SQLiteConnection
        let isWriter: Bool
    }

    /// Where the session wants to go on.
    enum Handover: Error {
        case toWriter, toReader
    }

    enum Outcome {
        case idle
        case handover(Handover)
    }

    let database: SQLiteDatabase
    let analyzer: SQLiteAnalyzer
    let key: BackendKey
    let user: String
    let cancellation = StatementCancellation()
    let replies: ReplyStream
    let eventLoop: any EventLoop

    var settings: SessionSettings
    var transaction = TransactionState()
    var statements: [ExactText: PreparedStatement] = [:]
    var portals: [ExactText: Portal] = [:]
    /// Counted by the reader pool as keeping its reader.
    var isPinned = false

    private var frames: Deque<MessageFrame> = []
    var script: SimpleQueryScript?
    private var skipsToSync = false
    var output = ByteBuffer()
    private var isClosed = false
    /// Set for the length of a run.
    private var currentPlace: Place?

    /// Reply bytes are handed on in pieces of about this size.
    static let chunk = 64 << 10

    init(
        database: SQLiteDatabase, analyzer: SQLiteAnalyzer, key: BackendKey, user: String,
        settings: SessionSettings, replies: ReplyStream, eventLoop: any EventLoop
    ) {
        self.database = database
        self.analyzer = analyzer
        self.key = key
        self.user = user
        self.settings = settings
        self.replies = replies
        self.eventLoop = eventLoop
    }

    /// The place of this run.
    var place: Place {
        get throws {
            guard let currentPlace else {
                throw PostgresError(.internalError, "a statement was run outside of a run")
            }
            return currentPlace
        }
    }

    /// Whether the next run must be on the same reader.
    var keepsReader: Bool {
        if transaction.holdsWriter { return false }
        return transaction.holdsSnapshot || portals.values.contains { $0.isSuspendedCursor }
    }

    /// How long the session waits for the writer.
    var lockTimeout: Duration {
        let own = settings["lock_timeout"].flatMap(SessionSettings.milliseconds) ?? 0
        return own > 0 ? .milliseconds(own) : database.settings.lockTimeout
    }

    var hasWork: Bool { script != nil || !frames.isEmpty }

    // MARK: A run

    func add(_ new: Deque<MessageFrame>) {
        frames.append(contentsOf: new)
    }

    /// Handles frames until there are none, or until another place is needed.
    func run(at place: Place) -> Outcome {
        currentPlace = place
        defer {
            currentPlace = nil
            unpinIfPossible()
        }
        while !isClosed {
            do {
                if script != nil {
                    try continueScript()
                } else if let frame = frames.first {
                    try handle(frame)
                    _ = frames.popFirst()
                } else {
                    break
                }
            } catch let handover as Handover {
                flush()
                return .handover(handover)
            } catch {
                failed(Self.reportable(error))
            }
        }
        flush()
        return .idle
    }

    /// The writer could not be had: what was to run next fails.
    func writerUnavailable(at place: Place) -> Outcome {
        currentPlace = place
        failed(
            PostgresError(
                .lockNotAvailable, "canceling statement due to lock timeout",
                hint: "Another session holds the SQLite write lock in its transaction."))
        return run(at: place)
    }

    /// Every failure has a way to be told.
    static func reportable(_ error: any Error) -> PostgresError {
        error as? PostgresError
            ?? PostgresError(.internalError, "unexpected failure in the SQLite upstream")
    }

    /// Rolls back and lets everything go; the last run of a session.
    func end(at place: Place) {
        currentPlace = place
        defer { currentPlace = nil }
        isClosed = true
        frames = []
        script = nil
        closeAllPortals()
        abandonTransaction()
        statements = [:]
        if isPinned {
            isPinned = false
            database.readers.unstall()
        }
    }

    // MARK: Errors

    private func failed(_ error: PostgresError) {
        write { $0.writeErrorResponse(error) }
        statementFailed()
        if script != nil {
            script = nil
            readyForQuery()
            return
        }
        guard let frame = frames.popFirst() else { return }
        switch frame.tag {
        case FrontendTag.query, FrontendTag.functionCall, FrontendTag.sync: readyForQuery()
        default: skipsToSync = true
        }
    }

    // MARK: Messages

    private func handle(_ frame: MessageFrame) throws {
        if skipsToSync, frame.tag != FrontendTag.sync { return }
        switch frame.tag {
        case FrontendTag.query: try beginScript(Self.utf8(QueryMessage(decoding: frame.body).query))
        case FrontendTag.parse: try parse(ParseMessage(decoding: frame.body))
        case FrontendTag.bind: try bind(BindMessage(decoding: frame.body))
        case FrontendTag.describe: try describe(DescribeMessage(decoding: frame.body))
        case FrontendTag.execute: try execute(ExecuteMessage(decoding: frame.body))
        case FrontendTag.close: try close(CloseMessage(decoding: frame.body))
        case FrontendTag.flush:
            try Self.requireEmpty(frame)
            flush()
        case FrontendTag.sync:
            skipsToSync = false
            try Self.requireEmpty(frame)
            try endImplicitTransaction()
            readyForQuery()
        case FrontendTag.copyData, FrontendTag.copyDone, FrontendTag.copyFail:
            // Left over from a COPY that failed: PostgreSQL ignores them as well.
            break
        case FrontendTag.functionCall:
            throw PostgresError(
                .featureNotSupported, "function calls are not supported by the SQLite upstream",
                hint: "Use SELECT.")
        default:
            throw PostgresError(.protocolViolation, "invalid frontend message type \(frame.tag)")
        }
    }

    private static func requireEmpty(_ frame: MessageFrame) throws {
        guard frame.isEmpty else {
            throw PostgresError(.protocolViolation, "invalid message format")
        }
    }

    /// The text of a message, which must be UTF-8 for SQLite. Decoded messages have a private-use
    /// scalar, U+10FF00 and the byte, for each byte that is not.
    static func utf8(_ text: String) throws -> String {
        guard text.utf8.contains(0xF4) else { return text }
        var bytes: [UInt8] = []
        for scalar in text.unicodeScalars {
            if scalar.value >= 0x10_FF00 {
                bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            } else {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        guard let valid = String(validating: bytes, as: UTF8.self) else {
            throw ParameterDecoder.invalidText
        }
        return valid
    }

    func readyForQuery() {
        write { $0.writeReadyForQuery(transaction.wireStatus) }
    }

    // MARK: Output

    func write(_ body: (inout ByteBuffer) -> Void) {
        body(&output)
        if output.readableBytes >= Self.chunk { flush() }
    }

    /// Hands the output on, waiting while too much is on its way.
    func flush() {
        guard output.readableBytes > 0 else { return }
        let bytes = output
        output = ByteBuffer()
        // A client that does not take its rows keeps this reader: others get another one.
        let stalls = replies.isFull && !isPinned && currentPlace?.isWriter == false
        let stalled = stalls && database.readers.stall()
        if !replies.send(bytes) { isClosed = true }
        if stalled { database.readers.unstall() }
    }

    /// Whether the link was closed while a statement was running.
    var isEnding: Bool { isClosed }

    // MARK: Settings

    /// Applies a change of settings and tells the client what of it is reported.
    func changingSettings(_ body: (inout SessionSettings) throws -> Void) rethrows {
        let before = settings.reportedValues
        try body(&settings)
        for (old, new) in zip(before, settings.reportedValues) where old != new {
            write { $0.writeParameterStatus(new.name, new.value) }
        }
    }

    var emulatedSession: EmulatedSession {
        var all: [String: String] = [:]
        for (name, value) in settings.all { all[name.lowercased()] = value }
        all["transaction_isolation"] = transactionIsolationText
        all["transaction_read_only"] = transactionReadOnlyText
        return EmulatedSession(
            user: user, database: database.name, settings: all, backendProcessID: key.processID,
            serverVersion: SessionSettings.serverVersion)
    }

    // MARK: Keeping a reader

    /// Counts the session's reader as kept. False where too many are.
    func pin() -> Bool {
        if isPinned { return true }
        isPinned = database.readers.stall()
        return isPinned
    }

    private func unpinIfPossible() {
        guard isPinned, !keepsReader else { return }
        isPinned = false
        database.readers.unstall()
    }
}
