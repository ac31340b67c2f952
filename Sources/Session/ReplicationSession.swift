import NIOCore
import PostgresWire
import SQLAnalysis
import Upstream

/// A client's replication connection, from the end of its startup phase: every byte goes through, both
/// ways, on a server connection of its own.
///
/// Nothing is answered from memory. A connection to a database also runs SQL, which may write: its
/// outcome is covered by windows over everything. Confined to its event loop.
/// https://www.postgresql.org/docs/15/protocol-replication.html
final class ReplicationSession {
    private let services: SessionServices
    private let output: ClientOutput
    private let eventLoop: any EventLoop
    private let database: String
    private let runsSQL: Bool
    private let linkKey: BackendKey?
    private var link: (any UpstreamLink)?
    /// Frontend and backend messages are framed alike.
    private var clientScanner = BackendMessageScanner(collecting: [FrontendTag.query])
    private var serverScanner = BackendMessageScanner(collecting: [])
    /// One for each ReadyForQuery owed; nil for a message that cannot write.
    private var owed: [OpenWindow?] = []
    /// Something was sent of which it cannot be told whether a ReadyForQuery answers it: windows stay
    /// open until the connection ends.
    private var isDoubtful = false
    private var isClosed = false
    /// Read, and not sent: windows over it are not known to all followers yet.
    private var held: [ByteBuffer] = []
    private var awaitedRecord: UInt64 = 0
    private var isAwaiting = false

    /// More statements than this must not wait for their answers: no client sends even two.
    private static let owedLimit = 1024

    /// `link` must be ready and made for the replication that `startup` asks for.
    init(
        services: SessionServices, startup: SessionStartup, greeting: UpstreamGreeting,
        link: any UpstreamLink, eventLoop: any EventLoop, output: ClientOutput
    ) {
        self.eventLoop = eventLoop
        self.services = services
        self.output = output
        self.link = link
        database = startup.database
        runsSQL = startup.replication == .database
        linkKey = greeting.backendKey
    }

    // MARK: From the client

    func received(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        do {
            try coverWrites(in: bytes)
        } catch {
            fail(error)
            return
        }
        held.append(bytes)
        sendHeld()
    }

    /// Sends what has come, once every follower knows of the windows over it.
    private func sendHeld() {
        guard !isAwaiting, !held.isEmpty, !isClosed else { return }
        if let followers = services.cells.log?.followers,
            !followers.isKnown(awaitedRecord, now: MonotonicClock.now)
        {
            isAwaiting = true
            output.setReading(false)
            let session = NIOLoopBound(self, eventLoop: eventLoop)
            let eventLoop = eventLoop
            followers.whenKnown(awaitedRecord, now: MonotonicClock.now) {
                eventLoop.execute { session.value.followersKnow() }
            }
            return
        }
        for bytes in held { link?.send(bytes) }
        held = []
    }

    private func followersKnow() {
        isAwaiting = false
        guard !isClosed else { return }
        output.setReading(true)
        sendHeld()
    }

    /// Opens a window for each statement that ends in `bytes`: before that the server runs nothing
    /// of it.
    private func coverWrites(in bytes: ByteBuffer) throws(PostgresError) {
        var cursor = bytes.readerIndex
        while let piece = try clientScanner.next(in: bytes, cursor: &cursor) {
            guard piece.endsMessage else { continue }
            switch piece.tag {
            case FrontendTag.query:
                try owe(piece, in: bytes)
            case FrontendTag.copyData, FrontendTag.copyDone, FrontendTag.copyFail,
                FrontendTag.flush, FrontendTag.terminate:
                break
            default:
                // Refused by the server, or a Sync, which COPY ignores.
                isDoubtful = true
            }
        }
    }

    private func owe(
        _ piece: BackendMessageScanner.Piece, in bytes: ByteBuffer
    ) throws(PostgresError) {
        guard owed.count < Self.owedLimit else {
            throw PostgresError(.programLimitExceeded, "too many statements without an answer")
        }
        let text = clientScanner.body(of: piece, in: bytes)
        if !runsSQL || text.map({ ReplicationCommand.isOne($0.readableBytesView) }) ?? false {
            owed.append(nil)
            return
        }
        let window = try services.coordinator.open(
            .everythingAndCatalog, database: database, catalogVersion: 0)
        owed.append(window)
        if let window { awaitedRecord = max(awaitedRecord, window.registered.logIndex) }
    }

    func outputWritabilityChanged() {
        link?.setPaused(!output.isWritable)
    }

    func cancelRequested(_ then: @escaping () -> Void) {
        guard let link else { return then() }
        link.cancelRunningStatement()
        link.afterCancels(then)
    }

    // MARK: From the server

    func upstreamReceived(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        var cursor = bytes.readerIndex
        do {
            while let piece = try serverScanner.next(in: bytes, cursor: &cursor) {
                if piece.endsMessage, piece.tag == BackendTag.readyForQuery { answered() }
            }
        } catch {
            fail(error)
            return
        }
        output.append(bytes)
        output.flush()
    }

    private func answered() {
        guard !isDoubtful, !owed.isEmpty, let window = owed.removeFirst() else { return }
        services.coordinator.close(window, committed: true, processID: linkKey?.processID)
    }

    func upstreamWritabilityChanged(_ isWritable: Bool) {
        output.setReading(isWritable && !isAwaiting)
    }

    /// The server has said what it had to say; the client learns of the end as it would from it.
    func upstreamClosed(mayStillRun: Bool) {
        guard !isClosed else { return }
        services.metrics.upstreamConnections.decrement()
        link = nil
        close(mayStillRun: mayStillRun)
    }

    // MARK: The end

    /// Ends the session with an error that the client is told.
    func fail(_ error: PostgresError) {
        guard !isClosed else { return }
        var error = error
        error.severity = .fatal
        services.metrics.errorsSent.increment()
        if serverScanner.isAtBoundary { output.buffer.writeErrorResponse(error) }
        end()
    }

    func end() {
        guard !isClosed else { return }
        if let link {
            services.metrics.upstreamConnections.decrement()
            link.close()
        }
        link = nil
        close(mayStillRun: true)
    }

    private func close(mayStillRun: Bool) {
        isClosed = true
        let windows = owed.compactMap(\.self)
        owed = []
        if mayStillRun {
            services.coordinator.outcomeUnknown(windows, key: linkKey, database: database)
        } else {
            for window in windows { services.coordinator.close(window, committed: true) }
        }
        output.close()
    }
}

/// Commands of the replication protocol.
enum ReplicationCommand {
    /// SHOW is not among them: it begins SQL as well.
    private static let words: Set<String> = [
        "ALTER_REPLICATION_SLOT", "BASE_BACKUP", "CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT",
        "IDENTIFY_SYSTEM", "READ_REPLICATION_SLOT", "START_REPLICATION", "TIMELINE_HISTORY",
        "UPLOAD_MANIFEST",
    ]

    /// Whether `text` begins with the word of such a command. No SQL statement begins with one, so
    /// that the server either runs the command, which changes no relation, or finds a syntax error.
    static func isOne(_ text: some Collection<UInt8>) -> Bool {
        let start = text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
        let word = start.prefix(while: isWordByte)
        return word.count <= 32
            && words.contains(String(decoding: word, as: UTF8.self).uppercased())
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            true
        default: false
        }
    }
}
