import NIOCore
import PostgresWire
import ResultCache
import Synchronization

/// One connection of a pool: lent to one client session at a time, on one event loop.
///
/// It is the delegate of the link itself for the whole of its life and passes on to its borrower
/// what happens. What the server-side session holds (`settings`, `statements`) is kept here by its
/// borrowers; everything else it must not hold when it is given back.
package final class PooledLink: UpstreamLinkDelegate, PoolableLink, @unchecked Sendable {
    // Sendable: apart from constants, everything is touched on `eventLoop` alone; `definedNames` and
    // `idleSince` under the pool's mutex too, while nobody has the link.
    private enum State {
        case connecting
        case lent(any UpstreamLinkDelegate)
        /// DISCARD ALL has been sent.
        case resetting
        case idle
        /// On its way to a borrower, or back to the pool, which counts it as lent.
        case promised
        case closed
    }

    package let eventLoop: any EventLoop
    let loop: Int
    let login: Int
    let bornAt: UInt64
    var idleSince: UInt64 = 0
    private(set) var definedNames: Set<String> = []

    private let pool: LinkPool
    private var state: State = .connecting
    private var inner: (any UpstreamLink)?
    private var replies = ByteBuffer()
    private var resetDeadline: Scheduled<Void>?

    /// What the server said at login. Links of one `greeting.number` have been told the same.
    package private(set) var greeting: UpstreamGreeting
    /// The catalog's version before login: what ALTER ROLE … SET has changed since is not in it.
    package let generation: UInt64
    /// What another Mynah, at the other end, has told last of its log.
    package var mirrorPosition: MirrorLog.Position?
    package var settings = ServerSettings()
    package var statements: ServerStatements
    /// The session that had it last, by its own number.
    package var lastBorrower: UInt64?
    /// What the client that had it last takes for its server process; 0: none yet. Any thread.
    let lastClientProcessID = Atomic<Int32>(0)
    /// What has been drawn from sequences on it, if anything, its last borrower has drawn.
    package var hasOwnSequences = true

    init(
        pool: LinkPool, loop: Int, login: Int, eventLoop: any EventLoop, generation: UInt64,
        statementCapacity: Int, now: UInt64
    ) {
        self.pool = pool
        self.loop = loop
        self.login = login
        self.eventLoop = eventLoop
        self.generation = generation
        bornAt = now
        statements = ServerStatements(capacity: statementCapacity)
        greeting = UpstreamGreeting(
            parameterStatuses: [], backendKey: nil, settings: [:], sessionUser: "")
    }

    /// Who has it; nil where nobody has.
    var borrower: (any UpstreamLinkDelegate)? {
        if case .lent(let borrower) = state { borrower } else { nil }
    }

    /// The link itself: where a borrower sends. nil once it is closed.
    package var link: (any UpstreamLink)? { inner }

    func start(_ makeLink: (any UpstreamLinkDelegate) -> any UpstreamLink) {
        // It may have been given up already.
        guard case .connecting = state else { return }
        inner = makeLink(self)
    }

    func promise() {
        state = .promised
    }

    /// False where it has been lost meanwhile.
    func lend(to borrower: any UpstreamLinkDelegate) -> Bool {
        if case .closed = state { return false }
        state = .lent(borrower)
        return true
    }

    /// The client that has it now was told this process id. A notification from this connection
    /// comes from there.
    package func noteClient(processID: Int32?) {
        lastClientProcessID.store(processID ?? 0, ordering: .relaxed)
    }

    // MARK: Giving back

    /// The session on the server is idle, owes no reply, and holds nothing but `settings` and
    /// `statements`. Call on the event loop; the link is not the caller's any more.
    package func giveBack() {
        guard case .lent = state else { return }
        state = .promised
        definedNames = settings.definedNames
        inner?.setPaused(false)
        returnWhenQuiet()
    }

    /// The session is idle and owes no reply, but holds what the next client must not see.
    package func resetAndGiveBack() {
        guard case .lent = state, let inner else { return }
        // DISCARD ALL gives up the lock by which whoever leads next would find the session.
        guard !greeting.isMarked else { return discard() }
        state = .resetting
        replies = ByteBuffer()
        inner.setPaused(false)
        var message = ByteBuffer()
        message.writeQuery("DISCARD ALL")
        inner.send(message)
        resetDeadline = eventLoop.assumeIsolated().scheduleTask(in: .seconds(10)) {
            self.discard()
        }
    }

    /// What was sent on the caller's behalf may still run, or what the session holds is not known:
    /// nobody gets it any more.
    package func discard() {
        if case .closed = state { return }
        let wasIdle = if case .idle = state { true } else { false }
        close()
        pool.lost(self, wasIdle: wasIdle)
    }

    /// A cancel request under way could hit the next client's statement: it is waited for.
    private func returnWhenQuiet() {
        guard let inner else { return }
        inner.afterCancels { [self] in
            guard case .promised = state else { return }
            state = .idle
            pool.returned(self)
        }
    }

    /// Closes it; the pool knows.
    func close() {
        switch state {
        case .closed: return
        case .connecting: break
        case .idle, .lent, .promised, .resetting: pool.noteClosed(self)
        }
        state = .closed
        resetDeadline?.cancel()
        inner?.close()
        inner = nil
    }

    // MARK: UpstreamLinkDelegate

    package func upstreamReady(_ greeting: UpstreamGreeting) {
        guard case .connecting = state else { return }
        self.greeting = greeting
        mirrorPosition = greeting.mirrorPosition
        state = .idle
        pool.connected(self) { number in self.greeting.number = number }
    }

    package func upstreamReceived(_ bytes: ByteBuffer) {
        switch state {
        case .lent(let borrower): borrower.upstreamReceived(bytes)
        case .resetting: resetReplyReceived(bytes)
        case .idle, .promised:
            // Its settings have been changed from without, or it is about to be closed.
            discard()
        case .connecting, .closed: break
        }
    }

    package func upstreamWritabilityChanged(_ isWritable: Bool) {
        if case .lent(let borrower) = state { borrower.upstreamWritabilityChanged(isWritable) }
    }

    package func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {
        let before = state
        close()
        switch before {
        case .connecting: pool.connectFailed(self, error)
        case .lent(let borrower):
            pool.lost(self, wasIdle: false)
            borrower.upstreamClosed(error, mayStillRun: mayStillRun)
        case .resetting, .promised: pool.lost(self, wasIdle: false)
        case .idle: pool.lost(self, wasIdle: true)
        case .closed: break
        }
    }

    // MARK: Resetting

    private static let resetReplyLimit = 64 * 1024

    private func resetReplyReceived(_ bytes: ByteBuffer) {
        replies.writeImmutableBuffer(bytes)
        guard replies.readableBytes <= Self.resetReplyLimit else { return discard() }
        while let frame = try? MessageFraming.next(in: &replies, limit: Self.resetReplyLimit) {
            switch frame.tag {
            case BackendTag.commandComplete, BackendTag.parameterStatus,
                BackendTag.noticeResponse, BackendTag.notificationResponse:
                break
            case BackendTag.readyForQuery:
                let status = try? TransactionStatus(decodingReadyForQuery: frame.body)
                guard status == .idle, replies.readableBytes == 0 else { return discard() }
                wasReset()
                return
            default: return discard()
            }
        }
    }

    private func wasReset() {
        resetDeadline?.cancel()
        settings.discardAll()
        definedNames = settings.definedNames
        statements.removeAll()
        state = .promised
        returnWhenQuiet()
    }
}
