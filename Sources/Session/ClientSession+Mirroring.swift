import NIOCore
import PostgresWire
import ResultCache
import Upstream

// A session on a node that is mirrored, or is a mirror itself.
//
// A mirror's answers from memory may be older than what the session has seen before: its own writes,
// or an answer that came from the primary. So the primary tells those of its clients that are
// mirrors' connections, before each ReadyForQuery, up to where its log goes; and a session answers
// from the mirror only what that has applied as much of.

/// What the session and the nodes on either side of it have told each other.
struct SessionMirroring {
    /// The client is a mirror's connection: it is told how far the log goes.
    var tellsPosition = false
    /// What it was told last.
    var told = MirrorLog.Position(epoch: 0, index: 0)
    /// A ReadyForQuery is held back until that has been told.
    var holdsReady = false
    /// A ParameterStatus of the primary's is looked at before it is passed on; the value tells
    /// whether it is to be.
    var holdsStatus: Bool?
    /// Up to where this session has seen what was committed.
    var seen = MirrorLog.Position(epoch: 0, index: 0)
    /// The number of the record that every follower has to know of before anything more is sent.
    var awaitedRecord: UInt64 = 0
    var isAwaiting = false
    /// The server-side session has given up all its locks, and with them the one by which it is known
    /// as this node's.
    var needsMark = false
}

extension ClientSession {
    // MARK: Hits

    /// Whether what was found may be answered. To be asked after it was found: then it is as good as
    /// the moment at which the clock was read here.
    func mayServe(_ reply: CachedReply) -> Bool {
        guard services.right.isLimited else { return true }
        // Looked at again: what was found may be of a mirror that has begun anew meanwhile.
        guard services.right.covers(now: MonotonicClock.now, seen: mirroring.seen), reply.isCurrent
        else {
            services.metrics.bypass(.mirrorBehind)
            return false
        }
        return true
    }

    /// A mirror has asked for what is in memory here: it does not have it, so it is sent again.
    func noteHit(_ reply: CachedReply) {
        if mirroring.tellsPosition { services.cells.log?.wanted(reply) }
    }

    // MARK: Without the upstream

    /// What may be answered while the upstream is away, though it is no longer certain; nil where
    /// nothing may. The key is in `keyScratch`.
    func uncertainReply(now: UInt64) -> CachedReply? {
        guard services.absence.isAway, transaction.visibleStatus == .idle,
            services.absence.duration(now: now) != nil
        else { return nil }
        let allowance = services.absence.allowance
        return keyScratch.withUnsafeReadableBytes { key in
            services.cache.peek(
                key, hash: ReplyCache.hash(key), now: now > allowance ? now - allowance : 0)
        }
    }

    /// To be sent before an answer of `uncertainReply`.
    func writeUncertaintyNotice() {
        services.metrics.staleAnswers.increment()
        let away = services.absence.duration(now: MonotonicClock.now) ?? 0
        output.buffer.writeNoticeResponse(
            PostgresError(
                "01000", "this answer may be out of date: the database cannot be reached",
                severity: .notice,
                detail: "It is from memory. The database has been away for "
                    + "\(away / 1_000_000_000) s."))
    }

    // MARK: Telling

    /// ReadyForQuery, and before it what a mirror has to know.
    func writeReady(_ status: TransactionStatus) {
        if mirroring.tellsPosition { tellPosition() }
        output.buffer.writeReadyForQuery(status)
    }

    private func tellPosition() {
        guard let log = services.cells.log else { return }
        // A node in the middle knows no more than it has applied, or was told itself.
        let own = log.lastWrite
        let seen = mirroring.seen
        let isAhead =
            seen.epoch == own.epoch
            ? seen.index > own.index : services.right.isFollowing && seen.index != 0
        let position = isAhead ? seen : own
        guard position != mirroring.told else { return }
        mirroring.told = position
        output.buffer.writeParameterStatus(MirrorLog.Position.parameter, position.text)
    }

    /// The body of a ParameterStatus that was held back. Returns whether it was about the position.
    func takePosition(_ body: ByteBuffer) -> Bool {
        var body = body
        guard let name = body.readName(), let value = body.readName(),
            name == MirrorLog.Position.parameter
        else { return false }
        if let position = MirrorLog.Position(text: value) {
            mirroring.seen = position
            pooledLink?.mirrorPosition = position
        }
        return true
    }

    /// The session goes on over this connection, over which others have been told what goes for
    /// whatever is read there from now on.
    func take(positionOf lent: PooledLink) {
        guard let position = lent.mirrorPosition else { return }
        let seen = mirroring.seen
        if seen.epoch == position.epoch {
            if seen.index < position.index { mirroring.seen = position }
        } else if seen.index == 0 || services.right.isOf(epoch: seen.epoch) {
            // Which of two epochs came later is not known: the one that this node's mirror is not of has
            // it ask again.
            mirroring.seen = position
        }
    }

    /// Marks the server-side session as this node's again. (In a failed transaction nothing can be
    /// sent, nor become visible.)
    func markAgain(_ status: TransactionStatus) {
        guard status != .failed else { return }
        mirroring.needsMark = false
        guard pooledLink != nil, let query = services.upstream.mark?.markQuery else { return }
        let marking = sendAbsorbed(query)
        marking.isMark = true
        // Whoever leads next would not find it.
        marking.indispensable = PostgresError(
            "08006", "the connection to the database has lost its mark as this node's",
            severity: .fatal, hint: "Connect again.")
        flushUpstream()
    }

    // MARK: Waiting for followers

    /// A window has been opened: what it covers may only be sent when followers know of it.
    func holdBack(untilKnown index: UInt64) {
        guard index > mirroring.awaitedRecord,
            services.right.isLimited || services.cells.log?.followers.isSynchronous == true
        else { return }
        mirroring.awaitedRecord = index
    }

    /// Whether nothing may be sent upstream yet; goes on by itself when it may.
    func waitsForFollowers() -> Bool {
        guard mirroring.awaitedRecord != 0 else { return false }
        guard !mirroring.isAwaiting else { return true }
        guard let followers = services.cells.log?.followers else { return false }
        let now = MonotonicClock.now
        let session = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        if followers.isKnown(mirroring.awaitedRecord, now: now) {
            if services.right.mayWrite(now: now) {
                mirroring.awaitedRecord = 0
                return false
            }
            // It may not lead any more. Either it is told again that it does, or its connections end.
            mirroring.isAwaiting = true
            eventLoop.scheduleTask(in: Self.pauseWithoutTerm) { session.value.followersKnow() }
            return true
        }
        mirroring.isAwaiting = true
        followers.whenKnown(mirroring.awaitedRecord, now: now) {
            eventLoop.execute { session.value.followersKnow() }
        }
        return true
    }

    private static let pauseWithoutTerm = TimeAmount.milliseconds(5)

    private func followersKnow() {
        mirroring.isAwaiting = false
        guard !isClosed else { return }
        flushUpstream()
        // What has been gathered meanwhile may have stopped the client.
        if wait == .upstream, !mirroring.isAwaiting, pendingProbe == nil, pendingLink == nil {
            resume(waitNumber)
        }
    }
}
