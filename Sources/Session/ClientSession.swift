import DequeModule
import Logging
import Mutants
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// One client's session, from the end of its startup phase: answers from memory what may be,
/// forwards the rest, and keeps both in order.
///
/// Confined to its event loop. The parts that decide are values and pure machines
/// (`TransactionTracker`, `SessionSettings`, `ReplyLedger`); this class holds them together and
/// does what they say. It is split by direction: `+SimpleQuery`, `+ExtendedQuery`, `+Forwarding` and `+Sending`
/// for what the client sends, `+Replies` for what the upstream answers. Its state has to be in one
/// file, which is why this one is long.
final class ClientSession {
    /// Why no further message of the client is looked at just now.
    enum Wait {
        case profile, flight, output, upstream
    }

    let services: SessionServices
    let startup: SessionStartup
    let eventLoop: any EventLoop
    let output: ClientOutput
    let database: String
    /// What the database's DDL moves; looked up once.
    let catalogCell: VersionCell
    /// What changes of roles move, in any database.
    let clusterCell: VersionCell
    /// Where the connection comes from; nil where the session makes its own.
    let pooling: SessionPooling?
    /// Distinguishes the session from all others where its settings are not known.
    let serial: UInt64
    /// What the client takes for its server process; nil until it has been greeted.
    var clientProcessID: Int32?
    /// It has asked the server for its process id in SQL, which is the connection's.
    var knowsServerProcess = false

    // The client's side.
    var input = ByteBuffer()
    /// A message that could not be dealt with yet; comes before everything else.
    var heldFrame: MessageFrame?
    /// Messages of the current segment, while it may yet be answered from memory.
    var collected: [MessageFrame] = []
    var collectedBytes = 0
    /// Collected messages that are now being forwarded one by one.
    var replay: Deque<MessageFrame> = []
    /// The extended-protocol segment being forwarded, until its Sync has been sent.
    var openSegment: ForwardedSegment?
    /// Opened before a byte that may commit was sent, and not closed yet.
    var windows = SessionWindows()
    var wait: Wait?
    /// Distinguishes answers to what is awaited now from late ones.
    var waitNumber: UInt64 = 0
    var isReadingPaused = false
    var isProcessing = false

    /// What other nodes have to do with it.
    var mirroring = SessionMirroring()

    // What the client has made.
    var statements: [String: PreparedStatement] = [:]
    var portals: [String: BoundPortal] = [:]
    var boundCapture: ReplyCapture?
    var localPortal: LocalPortal?
    /// The unnamed statement was destroyed by a Query that the server has not seen.
    var serverKeepsUnnamed = false
    /// Parses of shared statements that the server has not answered, with their segments.
    var unconfirmedParses: [StatementDigest?: ForwardedSegment] = [:]
    /// A statement that must not be used before it is known whether the server has parsed it.
    var awaitedParse: (statement: PreparedStatement, wait: UInt64)?
    /// The next Bind forwarded has been answered already.
    var absorbsNextBind = false

    // What is known of the server-side session.
    var transaction = TransactionTracker()
    var settings: SessionSettings
    var identity: SessionIdentity = .unknown
    /// The upstream is a standby; as of the last look at the settings.
    private var serverIsStandby = false
    /// The identity without dotted settings, which say nothing of what a text means.
    var parseIdentity: SessionIdentity = .unknown
    /// What names are resolved with, until the settings change.
    private var knownContext: ResolutionContext?
    /// Outstanding segments that do more than read: what they change is not known yet.
    var unsettledSegments = 0
    /// Outstanding segments after which names may resolve to other relations.
    var unresolvedSegments = 0
    /// The server-side session holds something that a new connection would not have.
    var isBoundToLink = false
    /// What does so between transactions, where connections come from a pool.
    var pins = SessionPins()
    /// The pins that are counted in the metrics.
    var shownPins: Set<PinReason> = []
    /// What is to be set on whichever connection serves.
    var settingsReplay: SettingsReplay

    // The upstream's side.
    var link: (any UpstreamLink)?
    var linkIsReady = false
    var linkKey: BackendKey?
    var ledger = ReplyLedger()
    var scanner = BackendMessageScanner()
    var upstreamOutbox = ByteBuffer()
    var captureOfPiece: ReplyCapture?
    var pieceIsRowDescription = false
    var absorbsPiece = false
    var pieceMeaning: ReplyLedger.Meaning = .part
    var farewell: ByteBuffer?
    /// The server has ended the session with an error that the client was given.
    var hasBeenToldFatal = false

    // A connection from a pool.
    var pooledLink: PooledLink?
    /// The wait that ends when it comes.
    var pendingLink: UInt64?
    var waitingForLinkSince: UInt64?
    /// Its settings are being made the session's own.
    var pendingReplay: ForwardedSegment?
    var knownGreeting: UInt64
    var knownGeneration: UInt64?
    /// The settings could not be made on a connection; another one is being tried.
    var hasRetriedReplay = false
    /// An error has been answered without the server: what follows up to Sync is skipped.
    var skipsToSync = false
    /// In the middle of a piece of the upstream's.
    var isForwardingReplies = false
    /// A CancelRequest came before what it means was sent.
    var cancelsNext = false
    /// What has been decided of the Query that waits for a connection.
    var deferredQuery: DeferredQuery?

    // One miss shared by several sessions.
    var flightTicket: FlightTicket?
    var hasWaitedForFlight = false
    var leadingFlight: Flight?
    var flightDeadline: Scheduled<Void>?

    // Hits that are checked against the database.
    var hitSampler = HitSampler()
    var verification: HitVerification?

    /// The settings have been asked for since they became unknown.
    var hasProbed = false
    /// The wait that ends with the answer to a probe.
    var pendingProbe: UInt64?

    /// A profile that was awaited, with the text that it is of.
    var heldProfile: (text: String, context: ResolutionContext, profile: QueryProfile)?
    var keyScratch = ByteBuffer()
    var answerScratch: [SegmentAnswer] = []
    var isClosed = false
    var isDraining = false
    /// Terminate has come; the session ends when its last reply is out.
    var isTerminating = false
    /// What the client is told then, where it was not Terminate that came.
    private var violation: PostgresError?
    /// Called once, when the session has ended.
    var onClose: (() -> Void)?

    static let inputPauseLimit = 64 * 1024
    /// A segment that may yet be answered from memory is kept back for as long as it is short.
    static let collectionLimit = 64 * 1024
    static let outboxLimit = 256 * 1024
    static let collectionCount = 256
    static let statementLimit = 65_536
    /// How long a miss waits for another session's execution before it runs by itself.
    static let flightPatience: TimeAmount = .seconds(1)

    init(
        services: SessionServices, startup: SessionStartup, greeting: UpstreamGreeting,
        link: (any UpstreamLink)?, pooling: SessionPooling? = nil, eventLoop: any EventLoop,
        output: ClientOutput
    ) {
        self.pooling = pooling
        serial = services.nextSessionSerial()
        settingsReplay = SettingsReplay(startup: startup)
        knownGreeting = greeting.number
        self.services = services
        self.startup = startup
        self.eventLoop = eventLoop
        self.output = output
        database = startup.database
        catalogCell = services.cells.cell(.catalog(database: startup.database))
        clusterCell = services.cells.cell(.cluster)
        settings = SessionSettings(
            login: services.identities.shared(Self.settings(of: greeting)))
        self.link = link
        linkIsReady = link != nil
        linkKey = link == nil ? nil : greeting.backendKey
        refreshIdentity()
        pooling?.member.borrower = self
    }

    static func settings(of greeting: UpstreamGreeting) -> [String: String] {
        var all: [String: String] = [:]
        for status in greeting.parameterStatuses
        where SessionSettings.tracked.contains(status.name.lowercased()) {
            all["reported " + status.name.lowercased()] = status.value
        }
        for (name, value) in greeting.settings
        where !SessionSettings.withoutEffectOnAnswers.contains(name.lowercased()) {
            all[name.lowercased()] = value
        }
        all["session_user"] = greeting.sessionUser
        return all
    }

    // MARK: Identity

    /// To be called whenever the settings may have changed.
    func refreshIdentity() {
        knownContext = nil
        serverIsStandby = settings.serverIsStandby
        let level = settings.current["default_transaction_isolation"]?.lowercased() ?? ""
        transaction.defaultIsolation =
            level.contains("read") && level.contains("committed") ? .readCommitted : .serializable
        guard settings.isKnown else {
            identity = .unknown
            parseIdentity = .unknown
            return
        }
        parseIdentity = identity(of: settings.current)
        identity = parseIdentity
        guard settings.custom.hasKnown else { return }
        identity = identity(of: settings.identifying)
    }

    private func identity(of settings: [String: String]) -> SessionIdentity {
        var settings = settings
        if Mutant.keyWithoutRole.isActive { settings["role"] = nil }
        if Mutant.keyWithoutSearchPath.isActive { settings["search_path"] = nil }
        return services.identities.identity(
            of: .init(database: database, user: startup.user, settings: settings))
    }

    /// What names are resolved with now.
    var resolutionContext: ResolutionContext {
        if let knownContext { return knownContext }
        let context = readContext()
        knownContext = context
        return context
    }

    private func readContext() -> ResolutionContext {
        let sessionUser = settings.current["session_user"] ?? startup.user
        let authorization = unquoted(settings.current["session_authorization"]) ?? sessionUser
        let role = unquoted(settings.current["role"])
        let path = settings.current["search_path"] ?? "\"$user\", public"
        return ResolutionContext(
            database: database, sessionUser: authorization,
            currentRole: role == nil || role == "none" ? authorization : role!,
            searchPath: path.hasPrefix("=") ? String(path.dropFirst()) : path)
    }

    private func unquoted(_ value: String?) -> String? {
        guard var value else { return nil }
        if value.hasPrefix("=") { value.removeFirst() }
        if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") {
            value = String(value.dropFirst().dropLast()).replacing("\"\"", with: "\"")
        }
        return value
    }

    /// Why nothing may be answered from memory at this moment, whatever the statement; nil if it may.
    ///
    /// To be asked before each lookup, and after the statement has come: an answer that is found
    /// afterwards has everything in it that was committed before, by whomever.
    var bypassReason: BypassReason? { bypassReason(in: transaction) }

    func bypassReason(in transaction: TransactionTracker) -> BypassReason? {
        if !services.isServingFromCache { return .cacheDisabled }
        if let reason = transaction.bypassReason { return reason }
        if serverIsStandby { return .standby }
        if identity == .unknown || unsettledSegments > 0 { return .sessionState }
        if let watch = services.commitWatch, !watch.seesNothingNew() { return .foreignCommit }
        return nil
    }

    // MARK: Input

    /// Takes bytes from the client.
    func received(_ bytes: ByteBuffer) {
        if input.readableBytes == 0 {
            input = bytes
        } else {
            // What has been read would otherwise stay, for as long as a part of a message is left over.
            input.discardReadBytes()
            input.writeImmutableBuffer(bytes)
        }
        process()
    }

    /// Deals with messages until there are no more whole ones, or something has to be awaited.
    func process() {
        guard !isProcessing, !isClosed else { return }
        isProcessing = true
        defer { isProcessing = false }
        do {
            var goesOn = true
            while goesOn {
                while wait == nil, !isClosed, let frame = try nextFrame() {
                    try handle(frame)
                }
                // What made it wait may be over as soon as this is written: nobody else would go on
                // with the messages that are left.
                let isWaiting = wait != nil
                flushUpstream()
                goesOn = isWaiting && wait == nil && !isClosed
            }
        } catch {
            guard defersViolation(error) else {
                fail(error)
                return
            }
        }
        // An idle client holds no buffer, and the channel reads into the same one again.
        if input.readableBytes == 0 { input = ByteBuffer() }
        flushUpstream()
        output.flush()
        updateReading()
        endIfDrained()
        if pooledLink != nil { releaseLinkIfIdle() }
    }

    private func nextFrame() throws(PostgresError) -> MessageFrame? {
        if let frame = heldFrame {
            heldFrame = nil
            return frame
        }
        if let frame = replay.popFirst() { return frame }
        return try MessageFraming.nextFromFrontend(in: &input, limit: services.messageLimit)
    }

    private func handle(_ frame: MessageFrame) throws(PostgresError) {
        if skipsToSync {
            skip(frame)
            return
        }
        switch frame.tag {
        case FrontendTag.query:
            try queryReceived(frame)
        case FrontendTag.parse, FrontendTag.bind, FrontendTag.describe, FrontendTag.execute,
            FrontendTag.close:
            try extendedReceived(frame)
        case FrontendTag.sync:
            try syncReceived(frame)
        case FrontendTag.flush:
            try flushReceived(frame)
        case FrontendTag.copyData, FrontendTag.copyDone, FrontendTag.copyFail:
            try copyReceived(frame)
        case FrontendTag.functionCall:
            try functionCallReceived(frame)
        case FrontendTag.terminate:
            terminateReceived()
        default:
            throw PostgresError(
                .protocolViolation, "invalid frontend message type \(frame.tag)", severity: .fatal)
        }
    }

    private func skip(_ frame: MessageFrame) {
        switch frame.tag {
        case FrontendTag.sync:
            skipsToSync = false
            writeReady(transaction.visibleStatus)
        case FrontendTag.terminate: terminateReceived()
        default: break
        }
    }

    // MARK: Waiting

    /// Stops processing until `resume` with the same number.
    func suspend(_ reason: Wait, holding frame: MessageFrame?) -> UInt64 {
        wait = reason
        waitNumber += 1
        heldFrame = frame
        return waitNumber
    }

    /// Goes on after `suspend`; a late or repeated call has no effect.
    func resume(_ number: UInt64) {
        guard wait != nil, waitNumber == number else { return }
        wait = nil
        process()
        // The statement that was to be cancelled has been sent, or was answered without the server.
        if wait == nil { cancelsNext = false }
    }

    /// The client takes what it is sent again, or has stopped to.
    func outputWritabilityChanged() {
        link?.setPaused(!output.isWritable)
        if output.isWritable {
            if case .output = wait, !isTerminating { resume(waitNumber) }
        }
    }

    /// Bounds what a client can make the proxy hold: while its messages cannot be dealt with, no
    /// more are read than a few.
    private func updateReading() {
        if !output.isWritable, wait == nil { _ = suspend(.output, holding: heldFrame) }
        let shouldPause = wait != nil && input.readableBytes > Self.inputPauseLimit
        if shouldPause != isReadingPaused {
            isReadingPaused = shouldPause
            output.setReading(!shouldPause)
        }
    }

    // MARK: The end

    /// Terminate: what was asked for before is still answered, as a server does.
    private func terminateReceived() {
        isTerminating = true
        openSegment = nil
        endIfTerminated()
        if !isClosed { _ = suspend(.output, holding: nil) }
    }

    /// Whether `error`, a mistake of the client's, is told only after the answers to what it asked
    /// for before, as a server does that reads one message after another.
    private func defersViolation(_ error: PostgresError) -> Bool {
        guard error.sqlState == .protocolViolation, !ledger.segments.isEmpty, !isTerminating,
            !isClosed
        else { return false }
        violation = error
        terminateReceived()
        return true
    }

    func endIfTerminated() {
        guard isTerminating else { return }
        if ledger.segments.isEmpty {
            if let violation { fail(violation) } else { end() }
        } else if ledger.isCopyingIn {
            // COPY waits for data: the server takes this for a mistake, gives up and closes.
            var terminate = ByteBuffer()
            terminate.writeTerminate()
            sendUpstream(terminate)
            flushUpstream()
        }
    }

    /// Ends the session with an error that the client is told.
    func fail(_ error: PostgresError) {
        guard !isClosed else { return }
        var error = error
        error.severity = .fatal
        services.metrics.errorsSent.increment()
        // In the middle of a message of the upstream's an error would be read as part of it.
        if scanner.isAtBoundary || absorbsPiece { output.buffer.writeErrorResponse(error) }
        end()
    }

    /// Ends the session: nothing of it remains but windows whose outcome is unknown.
    func end() {
        guard !isClosed else { return }
        isClosed = true
        wait = nil
        flightDeadline?.cancel()
        flightTicket?.cancel()
        leadingFlight?.finish(.leaderFailed)
        boundCapture?.abandon(.replyNotStorable)
        // Nothing is handed to a link before it is ready.
        if let pooling {
            // Before anything is settled: what is quiet goes back to the pool.
            let mayStillRun = linkIsReady
            endPooledLink(pooling)
            settleOutstanding(mayStillRun: mayStillRun)
        } else {
            settleOutstanding(mayStillRun: link != nil && linkIsReady)
            if link != nil, linkIsReady { services.metrics.upstreamConnections.decrement() }
            link?.close()
        }
        link = nil
        output.close()
        onClose?()
        onClose = nil
    }

    /// Gives up on replies that will not come: captures are abandoned, windows are left to the
    /// coordinator, who waits for proof of what became of them.
    func settleOutstanding(mayStillRun: Bool) {
        ledger.abandonCaptures()
        openSegment = nil
        ledger = ReplyLedger()
        let windows = windows.takeAll()
        if mayStillRun {
            services.coordinator.outcomeUnknown(windows, key: linkKey, database: database)
        } else {
            for window in windows { services.coordinator.close(window, committed: true) }
        }
    }

    /// No new statements: ends now if nothing is running, else after what is running has ended.
    func drain() {
        isDraining = true
        endIfDrained()
    }

    func endIfDrained() {
        guard isDraining, ledger.isEmpty, openSegment == nil, wait == nil else { return }
        fail(Self.shutdown)
    }

    static let shutdown = PostgresError(
        .adminShutdown, "terminating connection due to administrator command", severity: .fatal)
}
