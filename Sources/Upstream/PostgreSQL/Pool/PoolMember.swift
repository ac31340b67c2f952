import NIOCore
import PostgresWire

/// Who borrows links. All calls on the member's event loop.
package protocol LinkBorrower: UpstreamLinkDelegate {
    /// The link that was asked for is there. A failure comes as `upstreamClosed`.
    func lent(_ link: PooledLink)
}

/// A client session's place in the pool of its user and database.
///
/// Confined to its event loop; what the pool's bookkeeping reads of it while it waits does not
/// change in the meantime.
package final class PoolMember: PoolDemand, @unchecked Sendable {
    // Sendable: `definedNames` and `waitingSince` change only while it is not among the pool's
    // waiting; the rest is touched on `eventLoop`.
    package let eventLoop: any EventLoop
    package var borrower: (any LinkBorrower)?
    let loop: Int
    let login: Int
    private(set) var definedNames: Set<String> = []
    private(set) var settings = ServerSettings()
    private(set) var neededGeneration: UInt64 = 0
    var waitingSince: UInt64 = 0
    private let pool: LinkPool
    private var isWaiting = false
    private var hasLeft = false
    private var deadline: Scheduled<Void>?

    init(pool: LinkPool, loop: Int, login: Int, eventLoop: any EventLoop) {
        self.pool = pool
        self.loop = loop
        self.login = login
        self.eventLoop = eventLoop
    }

    /// A link, if one is free. Otherwise nil: the borrower is told later, never from within, unless
    /// `withdraw` comes first. `settings`: those of the client. `isLogin`: for a session that begins,
    /// whose right to come in the server has to be asked since roles and rights last changed.
    package func borrow(wanting settings: ServerSettings, isLogin: Bool = false) -> PooledLink? {
        neededGeneration = isLogin ? pool.currentGeneration : 0
        definedNames = settings.definedNames
        self.settings = settings
        guard let borrower else { return nil }
        while let link = pool.borrow(for: self) {
            if link.lend(to: borrower) { return link }
        }
        isWaiting = true
        deadline = eventLoop.assumeIsolated().scheduleTask(in: pool.checkoutTimeout) {
            self.timedOut()
        }
        return nil
    }

    /// No link is wanted any more.
    package func withdraw() {
        guard isWaiting else { return }
        stopWaiting()
        pool.withdraw(self)
    }

    /// The session has ended.
    package func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        withdraw()
        borrower = nil
        pool.left(self)
    }

    /// Whether anyone in this pool has asked what its session drew from sequences.
    package var poolUsesSequenceState: Bool { pool.usesSequenceState }
    package func noteSequenceStateUsed() { pool.noteSequenceStateUsed() }

    private func stopWaiting() {
        isWaiting = false
        deadline?.cancel()
        deadline = nil
    }

    /// The pool lends `link`, or has failed. On the event loop.
    func answered(_ link: PooledLink) {
        guard isWaiting, let borrower else {
            // Withdrawn while the answer was on its way.
            if link.lend(to: NoBorrower.shared) { link.giveBack() }
            return
        }
        guard link.lend(to: borrower) else {
            // Lost on its way.
            while let other = pool.borrow(for: self) {
                guard other.lend(to: borrower) else { continue }
                stopWaiting()
                borrower.lent(other)
                return
            }
            return
        }
        stopWaiting()
        // Where it has asked again since, that is answered by this one.
        pool.withdraw(self)
        borrower.lent(link)
    }

    func failed(_ error: PostgresError) {
        guard isWaiting else { return }
        stopWaiting()
        borrower?.upstreamClosed(error, mayStillRun: false)
    }

    private func timedOut() {
        guard isWaiting else { return }
        pool.withdraw(self)
        pool.noteTimeout()
        failed(pool.timeoutError)
    }
}

/// Stands where a borrower was.
private final class NoBorrower: UpstreamLinkDelegate, Sendable {
    static let shared = NoBorrower()
    func upstreamReady(_ greeting: UpstreamGreeting) {}
    func upstreamReceived(_ bytes: ByteBuffer) {}
    func upstreamWritabilityChanged(_ isWritable: Bool) {}
    func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {}
}
