import Mutants
import NIOCore
import PostgresWire
import SQLAnalysis
import Telemetry
import Upstream

// A session whose connection comes from a pool (`PoolMember`). In transaction mode it has one from the
// first message that has to go upstream until it holds nothing on it any more; in session mode until
// it ends.
//
// In transaction mode no message is dealt with that may go upstream before the connection is there
// and has the session's settings: which statements have to be prepared on it, and whether its
// settings could be made, is known then. (With a connection of its own, messages are dealt with
// while that is being made.)

extension ClientSession: LinkBorrower {
    /// Whether the connection is given back between transactions.
    var sharesLinks: Bool { pooling?.mode == .transaction }

    /// Makes sure that there is a connection to deal with `frame` on. False while it is awaited: the
    /// session is then suspended, holding `frame`.
    func linkIsAttached(holding frame: MessageFrame) throws(PostgresError) -> Bool {
        guard sharesLinks else { return true }
        if link == nil { try connectLink() }
        if linkIsReady, pendingReplay == nil { return true }
        pendingLink = suspend(.upstream, holding: frame)
        return false
    }

    /// Asks the pool for a connection.
    func borrowLink(_ pooling: SessionPooling) throws(PostgresError) {
        linkIsReady = false
        linkKey = nil
        link = nil
        guard let lent = pooling.member.borrow(wanting: settingsReplay.wanted) else {
            link = WaitingLink(member: pooling.member)
            waitingForLinkSince = MonotonicClock.now
            return
        }
        try adopt(lent)
    }

    package func lent(_ lent: PooledLink) {
        guard !isClosed else {
            lent.giveBack()
            return
        }
        if let since = waitingForLinkSince {
            services.metrics.poolWaitLatency.record(nanoseconds: MonotonicClock.now - since)
            waitingForLinkSince = nil
        }
        do {
            try adopt(lent)
        } catch {
            fail(error)
            return
        }
        flushUpstream()
        resumeWithLink()
        // Whoever waited may have gone on without it.
        if !isClosed { releaseLinkIfIdle() }
    }

    /// Goes on with what waited for the connection, once that has the session's settings.
    private func resumeWithLink() {
        guard linkIsReady, pendingReplay == nil, wait == .upstream, pendingProbe == nil else {
            return
        }
        pendingLink = nil
        resume(waitNumber)
    }

    /// Takes over a connection whose session holds nothing but settings and prepared statements.
    func adopt(_ lent: PooledLink) throws(PostgresError) {
        pooledLink = lent
        link = lent.link
        linkIsReady = true
        linkKey = lent.greeting.backendKey
        scanner = BackendMessageScanner()
        // Whoever had it before may have left an unnamed statement.
        serverKeepsUnnamed = true
        unconfirmedParses.removeAll()
        pooling?.look()
        let clearsSequences =
            lent.lastBorrower != nil && lent.lastBorrower != serial
            && (pooling?.mayUseSequences ?? false)
        if lent.lastBorrower != serial {
            lent.hasOwnSequences = lent.lastBorrower == nil || clearsSequences
        }
        lent.lastBorrower = serial
        lent.noteClient(processID: clientProcessID)
        take(positionOf: lent)
        if !output.isWritable { link?.setPaused(true) }
        if lent.generation != knownGeneration {
            // What ALTER ROLE … SET gives to settings with a dot may have changed.
            if knownGeneration != nil, settings.forgetCustom() {
                abandonCaptures()
                refreshIdentity()
            }
            knownGeneration = lent.generation
        }
        let isSameLogin = lent.greeting.number != 0 && lent.greeting.number == knownGreeting
        if !isSameLogin {
            knownGreeting = lent.greeting.number
            try take(lent.greeting)
        }
        let statements = [
            clearsSequences ? "DISCARD SEQUENCES" : nil,
            lent.settings.statements(toReach: settingsReplay.wanted),
        ].compactMap(\.self)
        settingsReplay.reached()
        guard !statements.isEmpty, !Mutant.settingsNotReplayed.isActive else { return }
        replaySettings(statements.joined(separator: ";"), tellsClient: !isSameLogin)
        lent.settings = settingsReplay.committed
    }

    /// Makes the session's settings on the connection; nothing else is sent until they are.
    ///
    /// The client knows them. Only where the login itself is another one than it was greeted with
    /// may values differ from those that it was told.
    private func replaySettings(_ statements: String, tellsClient: Bool) {
        let segment = ForwardedSegment(
            isAbsorbed: true, startedIdle: false, startedAt: MonotonicClock.now)
        segment.replay = tellsClient ? .tellingClient : .silent
        pendingReplay = segment
        // Ahead of what may have been written while the connection was awaited: of that nothing
        // has been sent.
        ledger.oweFirst(.query(segment, nil))
        var message = ByteBuffer()
        message.writeQuery(statements)
        let rest = upstreamOutbox
        upstreamOutbox = ByteBuffer()
        link?.send(message)
        upstreamOutbox = rest
    }

    /// The answer to `replaySettings` has come.
    func replaySettled(_ segment: ForwardedSegment) throws(PostgresError) {
        guard !segment.hasFailed else {
            // What the connection has now is not known: nobody gets it any more.
            if !hasRetriedReplay {
                // What is left of its last borrower may be the reason; another one may do.
                hasRetriedReplay = true
                pendingReplay = nil
                let lent = pooledLink
                detach()
                lent?.discard()
                try connectLink()
                resumeWithLink()
                return
            }
            throw PostgresError(
                "55000", "the session's settings could not be made on another connection",
                severity: .fatal,
                detail: "What was set before cannot be set any more: a role that was dropped or "
                    + "revoked, for example.",
                hint: "pool.mode = \"session\" of the proxy keeps a session on one connection.")
        }
        pendingReplay = nil
        hasRetriedReplay = false
        flushUpstream()
        resumeWithLink()
    }

    // MARK: Giving back

    /// Whether the server-side session does nothing for this client, and owes it nothing.
    private var linkIsQuiet: Bool {
        linkIsReady && pendingReplay == nil && pendingProbe == nil && ledger.isEmpty
            && !ledger.isCopyingIn && openSegment == nil && windows.isEmpty
            && scanner.isAtBoundary
            && (transaction.isIdleUpstream || Mutant.linkReturnedInTransaction.isActive)
            && upstreamOutbox.readableBytes == 0
    }

    /// To be asked whenever something has settled: gives the connection back unless it is needed.
    func releaseLinkIfIdle() {
        guard let lent = pooledLink, sharesLinks, linkIsQuiet, wait == nil, collected.isEmpty,
            replay.isEmpty, unsettledSegments == 0, !isForwardingReplies
        else { return }
        if !pins.isEmpty {
            askWhatHolds()
            return
        }
        detach()
        lent.settings = settingsReplay.committed
        lent.giveBack()
    }

    /// Temporary objects go with their transaction, locks when they are released: the server tells.
    private func askWhatHolds() {
        guard pins.isWorthAsking, let probe = services.upstream.settingsProbe else {
            notePins()
            return
        }
        pins.questionSent()
        let segment = sendAbsorbed(
            probe + " UNION ALL " + ProbedSettings.sessionLocksQuestion, probe: ProbedSettings())
        segment.probe?.asksForPins = true
        flushUpstream()
    }

    /// The session has no connection any more.
    private func detach() {
        pooledLink = nil
        link = nil
        linkIsReady = false
        linkKey = nil
        scanner = BackendMessageScanner()
        portals.removeAll(keepingCapacity: true)
        statements[""]?.upstreamState = .notPrepared
        isBoundToLink = false
    }

    /// The session has ended: its connection goes back if it is, or can be made, fit for others.
    func endPooledLink(_ pooling: SessionPooling) {
        for reason in shownPins { services.metrics.pinned(reason).decrement() }
        shownPins = []
        defer { pooling.member.leave() }
        guard let lent = pooledLink else { return }
        pooledLink = nil
        guard services.analyses, linkIsQuiet, pins.canBeReset, unsettledSegments == 0 else {
            lent.discard()
            return
        }
        lent.settings = settingsReplay.committed
        if sharesLinks, pins.isEmpty { lent.giveBack() } else { lent.resetAndGiveBack() }
    }

    // MARK: Pins

    /// Statements are about to be sent: what they may leave on the connection ties the session to it.
    func notePins(of statements: [StatementProfile]) throws(PostgresError) {
        guard let pooling else { return }
        for statement in statements {
            if pins.isEmpty, statement.sessionEffects.isEmpty, !pooling.mayUseSequences,
                !statement.isSetting
            {
                continue
            }
            for effect in statement.sessionEffects {
                if effect == .readSequenceState { try sequenceStateIsRead(pooling) }
                if effect == .readProcessID { knowsServerProcess = true }
                if case .needDatabaseAlone(let name) = effect {
                    services.upstream.leave(database: name)
                }
                pins.sent(effect)
            }
            if statement.writeSet == .everythingAndCatalog { pins.definitionSent() }
            if pooling.mayUseSequences, statement.mayDrawFromSequences {
                pins.pin(.sequenceState)
            }
            deallocationSent(statement)
        }
        notePins()
    }

    /// currval or lastval: right only on the connection that the session has drawn on, if nobody
    /// else has had it since. From the first such question on, sessions of the pool keep their
    /// connection once they may have drawn.
    private func sequenceStateIsRead(_ pooling: SessionPooling) throws(PostgresError) {
        guard sharesLinks else { return }
        pooling.sequencesAreUsed()
        guard pooledLink?.hasOwnSequences ?? true else {
            throw PostgresError(
                "55000",
                "what this session has drawn from sequences is not known on this connection",
                severity: .fatal,
                detail:
                    "currval() and lastval() are about the connection, and transactions of other "
                    + "clients have run on it. Sessions of this pool keep their connection from "
                    + "now on, once they have written.",
                hint: "Connect again; use RETURNING instead; or set pool.mode = \"session\".")
        }
    }

    /// Shows what holds now in the metrics.
    func notePins() {
        guard sharesLinks, !(pins.isEmpty && shownPins.isEmpty) else { return }
        let reasons = pins.reasons
        guard reasons != shownPins else { return }
        for reason in reasons.subtracting(shownPins) { services.metrics.pinned(reason).increment() }
        for reason in shownPins.subtracting(reasons) { services.metrics.pinned(reason).decrement() }
        shownPins = reasons
    }

    /// A segment has ended: what its statements have taken away, and what they have set.
    func settlePins(of segment: ForwardedSegment, _ status: TransactionStatus) {
        guard pooling != nil, !segment.isAbsorbed else { return }
        // What takes away takes nothing of what has been sent behind it.
        let isLast = unsettledSegments == 0 && openSegment == nil && ledger.isEmpty
        for effect in segment.confirmedEffects { confirm(effect) }
        for change in segment.confirmedSettings {
            if !settingsReplay.confirmed(change) { pins.pin(.setting) }
            if change == .discardAll {
                if isLast { pins.discarded() } else { pins.pin(.unknownState) }
            }
        }
        let deallocations = segment.steps.count(where: \.deallocatesAll)
        if deallocations > 0,
            deallocations > segment.confirmedEffects.count(where: { $0 == .deallocate(name: nil) })
                + segment.confirmedSettings.count(where: { $0 == .discardAll })
        {
            // Taken for done when it was sent.
            pins.pin(.unknownState)
        }
        if segment.hasFailed {
            for step in segment.steps {
                if case .setting(let change) = step.kind { settingsReplay.failed(change) }
            }
        }
        if segment.confirmedSettings.contains(.discardAll)
            || segment.confirmedEffects.contains(.releaseSessionLock)
            || segment.confirmedEffects.contains(.unknown)
        {
            mirroring.needsMark = true
        }
        if segment.endedBySavepointRollback { settingsReplay.rolledBackToSavepoint() }
        if status == .idle {
            let isCommitted = segment.settingsWereKept
            if !settingsReplay.transactionEnded(committed: isCommitted) { pins.pin(.setting) }
            pins.transactionEnded(committed: isLast ? isCommitted : nil)
        } else if segment.endsTransaction {
            if !settingsReplay.transactionEnded(committed: nil) { pins.pin(.setting) }
            pins.transactionEnded(committed: nil)
        }
        notePins()
    }

    private func confirm(_ effect: SessionEffect) {
        pins.completed(effect)
        // Not undone by ROLLBACK.
        guard sharesLinks, case .deallocate(let name?) = effect else { return }
        statements[name] = nil
    }

    /// DEALLOCATE ALL or DISCARD ALL is being sent: what is parsed behind it is not meant. Named
    /// statements alone are.
    private func deallocationSent(_ statement: StatementProfile) {
        guard sharesLinks, statement.deallocatesAll, transaction.status != .failed else { return }
        statements = statements.filter { $0.key.isEmpty }
        pooledLink?.statements.removeAll()
    }

    /// The server has told which of the things that pin there are.
    func settlePins(asked values: [String: String], failed: Bool) {
        guard !failed, let temporary = values[ProbedSettings.temporaryObjectsRow],
            let locks = values[ProbedSettings.sessionLocksRow]
        else {
            pins.notAnswered()
            return
        }
        pins.asked(hasTemporaryObjects: temporary != "f", hasLocks: locks != "f")
        notePins()
    }
}

extension StatementProfile {
    var deallocatesAll: Bool {
        if case .setting(.discardAll) = kind { return true }
        return sessionEffects.contains(.deallocate(name: nil))
    }

    /// Whether it may call nextval, also through a default.
    var mayDrawFromSequences: Bool {
        switch kind {
        case .write, .opaque: true
        case .read: bypassReason == .volatileFunction
        case .setting, .transaction, .harmless, .locking: false
        }
    }
}

/// A session's part in a pool.
///
/// Confined to the session's event loop.
final class SessionPooling {
    let mode: PoolSettings.Mode
    let member: PoolMember
    /// Whether anyone in the pool asks what was drawn from sequences; as of the last look.
    private(set) var mayUseSequences: Bool

    init(mode: PoolSettings.Mode, member: PoolMember) {
        self.mode = mode
        self.member = member
        mayUseSequences = member.poolUsesSequenceState
    }

    func sequencesAreUsed() {
        member.noteSequenceStateUsed()
        mayUseSequences = true
    }

    func look() {
        if !mayUseSequences { mayUseSequences = member.poolUsesSequenceState }
    }
}

/// Stands for a connection that the pool has been asked for.
private final class WaitingLink: UpstreamLink {
    private let member: PoolMember

    init(member: PoolMember) {
        self.member = member
    }

    /// Nothing is sent before the connection is there.
    func send(_ messages: ByteBuffer) {}
    func setPaused(_ paused: Bool) {}
    func cancelRunningStatement() {}
    func close() { member.withdraw() }
}
