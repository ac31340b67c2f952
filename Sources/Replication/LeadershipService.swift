import Logging
import NIOCore
import ResultCache
import ServiceLifecycle
import Synchronization

/// Leads while the database says so, and follows whoever leads otherwise.
///
/// A take-over has five steps, each of which is necessary (`CORRECTNESS.md`):
///
/// 1. The lock is taken. The mirror goes on being followed meanwhile: its primary may still be there.
/// 2. The predecessor's term is waited out: it sends no commit after that.
/// 3. Its sessions with the database are ended: nothing that it has sent before becomes visible later.
/// 4. The mirror is kept if commits had to wait for it (`sync`) up to the end of that term; else it is
///    dropped. Either way what open windows cover is.
/// 5. No commit becomes visible before the leases that it may have granted others have run out.
package final class LeadershipService: Service {
    private let arbiter: any LeadershipArbiter
    private let timing: LeadershipTiming
    private let source: MirrorSource
    private let follower: MirrorFollower
    private let isSynchronous: Bool
    private let logger: Logger
    private let onLead: @Sendable () async throws -> Void
    private let onFollow: @Sendable () async -> Void
    private let onHandOver: @Sendable () async -> Int
    private let leading = Atomic(false)
    /// Somebody is to take over: asked of the node that leads.
    private let isHandingOver = Atomic(false)
    /// This node is to take over.
    private let isPromoted = Atomic(false)
    private let isQuiet = Atomic(false)
    private let takeovers = Atomic<UInt64>(0)
    private let keptMirrors = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - onLead: links are to lead to the database from now on. Where it throws, this node does not
    ///     lead after all.
    ///   - onFollow: they are not any more; to return when none is left.
    package init(
        arbiter: any LeadershipArbiter, settings: ReplicationSettings, source: MirrorSource,
        follower: MirrorFollower, logger: Logger,
        onLead: @escaping @Sendable () async throws -> Void,
        onHandOver: @escaping @Sendable () async -> Int,
        onFollow: @escaping @Sendable () async -> Void
    ) {
        self.arbiter = arbiter
        timing = settings.timing
        isSynchronous = settings.isSynchronous
        self.source = source
        self.follower = follower
        self.logger = logger
        self.onLead = onLead
        self.onHandOver = onHandOver
        self.onFollow = onFollow
    }

    /// Another node is to lead, which waits for that: this one lets its clients' transactions end and
    /// gives the lead up. Without effect where it does not lead.
    func handOver() {
        if isLeading { isHandingOver.store(true, ordering: .sequentiallyConsistent) }
    }

    /// Makes this node lead, in agreement with the one that does. Returns why it does not, if so.
    func promote() async -> String? {
        if isLeading { return nil }
        guard follower.isSynchronised else { return "it follows no node that leads" }
        isPromoted.store(true, ordering: .sequentiallyConsistent)
        defer { isPromoted.store(false, ordering: .sequentiallyConsistent) }
        // It waits in the database's queue by then, and is the next.
        try? await Task.sleep(for: .milliseconds(Int64(2 * timing.attempt / 1_000_000) + 50))
        await follower.askToHandOver()
        let end = ContinuousClock.now + Self.promotionTime
        while ContinuousClock.now < end {
            if isLeading { return nil }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return "the node that leads has not handed over within \(Self.promotionTime)"
    }

    private static let promotionTime = Duration.seconds(15)

    package var isLeading: Bool { leading.load(ordering: .sequentiallyConsistent) }

    /// How often this node has taken over, and how often with its mirror.
    package var figures: (takeovers: UInt64, withMirror: UInt64) {
        (takeovers.load(ordering: .relaxed), keptMirrors.load(ordering: .relaxed))
    }

    package func run() async throws {
        try? await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                try await followUntilTakenOver()
                if isLeading { await lead() }
            }
        }
        // Who comes next need not wait for the server to notice.
        if isLeading { await stepDown() }
        await arbiter.resign()
    }

    private var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    private static func sleep(_ nanoseconds: UInt64) async throws {
        try await Task.sleep(for: .nanoseconds(Int64(nanoseconds)))
    }

    // MARK: Following

    /// Follows whoever leads until this node has the lead itself, and all that comes before it may
    /// serve is done.
    private func followUntilTakenOver() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.follower.follow() }
            let acquired = try await acquire()
            logger.notice("the lead is free: taking over")
            let end = timing.endOfTerm(since: acquired)
            if end > now { try await Self.sleep(end - now) }
            let ended = try await fence()
            group.cancelAll()
            try await group.waitForAll()
            // The mirror is only good if its primary had to wait for it up to the end: no connection
            // is needed for that, but a lease. Looked at when nothing is followed any more: until
            // then it may begin anew, from a node that knows less.
            let isWarm = isSynchronous && source.right.lasts(beyond: end)
            await takeOver(isWarm: isWarm, acquired: acquired, ended: ended)
        }
    }

    /// Returns when the lead was taken.
    private func acquire() async throws -> UInt64 {
        var lastReason: String?
        var hasAskedForRights = false
        while true {
            do {
                if !hasAskedForRights { try await askForRights() }
                hasAskedForRights = true
                let isNext = isPromoted.load(ordering: .sequentiallyConsistent)
                if try await isNext ? arbiter.waitToLead() : arbiter.tryToLead() { return now }
                lastReason = nil
            } catch {
                // Who else leads is not known either: nothing can be done but go on asking.
                if lastReason != "\(error)" {
                    logger.warning(
                        "cannot ask the database who leads", metadata: ["reason": "\(error)"])
                    lastReason = "\(error)"
                }
            }
            try Task.checkCancellation()
            try await Self.sleep(timing.attempt)
        }
    }

    /// What would be found out when it is too late: an operator is to read it at the start.
    private func askForRights() async throws {
        guard try await !arbiter.mayEndSessions() else { return }
        logger.error(
            """
            the user of replication.arbiter may not end other sessions, so that this node could not \
            take over; GRANT pg_signal_backend to it
            """)
    }

    private func fence() async throws -> Int {
        var hasComplained = false
        var pause = timing.attempt
        while true {
            do {
                return try await arbiter.endSessions()
            } catch {
                if !hasComplained {
                    logger.error(
                        "cannot take over: sessions of the node that led cannot be ended",
                        metadata: ["reason": "\(error)"])
                    hasComplained = true
                }
            }
            try Task.checkCancellation()
            try await Self.sleep(pause)
            pause = min(2 * pause, 1_000_000_000)
        }
    }

    private func takeOver(isWarm: Bool, acquired: UInt64, ended: Int) async {
        await follower.release(keeping: isWarm)
        source.log.followers.hold(until: timing.endOfLeases(since: acquired))
        // From here on writes open windows of this node's; they are held back until it may lead.
        source.right.lead(until: 0)
        let windows = source.log.lead(epoch: .random(in: 1 ... .max))
        // Who has handed over has let its clients' transactions end; another may never answer again.
        if !isPromoted.load(ordering: .sequentiallyConsistent) { await follower.abandonPrimary() }
        takeovers.add(1, ordering: .relaxed)
        if isWarm { keptMirrors.add(1, ordering: .relaxed) }
        do {
            try await onLead()
            // Last: others are told from here on that this is where to go.
            leading.store(true, ordering: .sequentiallyConsistent)
        } catch {
            // The database is gone again: `lead` finds out as well.
            logger.warning("cannot lead", metadata: ["reason": "\(error)"])
            await stepDown()
            return
        }
        logger.notice(
            "leading",
            metadata: [
                "mirror": isWarm ? "kept" : "dropped", "open windows": "\(windows)",
                "sessions ended": "\(ended)",
                "milliseconds": "\((now - acquired) / 1_000_000)",
            ])
    }

    // MARK: Leading

    /// Leads until the database says otherwise, or has said nothing for a term.
    private func lead() async {
        var asked = now
        var lastReason: String?
        isHandingOver.store(false, ordering: .sequentiallyConsistent)
        var quiet: Task<Int, Never>?
        while !Task.isCancelled {
            if isHandingOver.exchange(false, ordering: .sequentiallyConsistent) {
                logger.notice("handing over: waiting for transactions to end")
                // It leads on until they have.
                quiet = Task { [self] in
                    let busy = await onHandOver()
                    isQuiet.store(true, ordering: .sequentiallyConsistent)
                    return busy
                }
            }
            if isQuiet.exchange(false, ordering: .sequentiallyConsistent) {
                await giveUp(stillBusy: await quiet?.value ?? 0)
                return
            }
            do {
                guard try await arbiter.isLeading() else {
                    logger.warning("another node may lead now: following")
                    break
                }
                source.right.lead(until: asked + timing.term)
                lastReason = nil
            } catch {
                // Nothing is answered from memory, and no write is sent, once the term is over.
                if lastReason != "\(error)" {
                    logger.warning(
                        "cannot ask the database whether this node leads",
                        metadata: ["reason": "\(error)"])
                    lastReason = "\(error)"
                }
            }
            try? await Self.sleep(timing.renewal)
            asked = now
        }
        if !Task.isCancelled { await stepDown() }
    }

    /// Gives the lead to whoever waits for it.
    private func giveUp(stillBusy: Int) async {
        logger.notice("handing over", metadata: ["connections ended": "\(stillBusy)"])
        await stepDown()
        try? await arbiter.yield()
        // Whoever has asked for it is in the queue; if nobody is any more, this node leads again.
        try? await Self.sleep(4 * timing.attempt)
    }

    /// In this order: writes are held back, then there is nothing to send them over, and only then
    /// are they another node's business.
    private func stepDown() async {
        source.right.revoke()
        leading.store(false, ordering: .sequentiallyConsistent)
        await onFollow()
        source.right.follow(MirrorLog.Position(epoch: 0, index: 0))
        source.log.follow(from: MirrorLog.Position(epoch: 0, index: 0), open: [:])
    }
}
