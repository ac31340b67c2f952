import NIOCore
import NIOPosix
import ResultCache
import Testing

@testable import Replication

/// With a lease of 200 ms: terms of 50 ms, waited for in earnest.
@Suite("Taking over and stepping down")
struct LeadershipServiceTests {
    private static let lease: UInt64 = 200_000_000

    /// A node that follows nobody, before an arbiter that does as it is told.
    private struct World: Sendable {
        let arbiter = FakeArbiter()
        let source: MirrorSource
        let service: LeadershipService

        init(_ node: MirroredNode, isSynchronous: Bool, failsToLead: SetOnce? = nil) {
            let settings = HandlerHarness.settings(isSynchronous: isSynchronous, lease: lease)
            let source = node.source
            self.source = source
            let arbiter = arbiter
            service = LeadershipService(
                arbiter: arbiter, settings: settings, source: source,
                follower: MirrorFollower(
                    settings: settings, addresses: [("127.0.0.1", 1)], source: source,
                    registry: node.registry, identity: NodeIdentity(),
                    group: MultiThreadedEventLoopGroup.singleton, logger: HandlerHarness.quiet
                ) { _, _ in },
                logger: HandlerHarness.quiet,
                onLead: {
                    arbiter.note(
                        .onLeadWithRight(
                            source.right.mayWrite(now: NIODeadline.now().uptimeNanoseconds)))
                    if let failsToLead, !failsToLead.isSet {
                        failsToLead.set()
                        throw FakeArbiter.Unreachable()
                    }
                },
                onHandOver: {
                    arbiter.note(.handedOver)
                    return 0
                },
                onFollow: {
                    arbiter.note(.onFollowWithRight(source.right.deadline != 0))
                })
        }

        var leads: Bool { service.isLeading && source.right.deadline > 0 }

        /// Runs the service while `body` does.
        func run(_ body: () async throws -> Void) async throws {
            let task = Task { [service] in try await service.run() }
            defer { task.cancel() }
            try await body()
            task.cancel()
            try await task.value
        }
    }

    /// A mirror that holds an entry, and a lease of so many nanoseconds from now on.
    private func mirror(isSynchronous: Bool, lease: UInt64) throws -> MirroredNode {
        let old = MirroredNode(epoch: 5)
        old.fill("r", "old")
        let mirror = MirroredNode(isSynchronous: isSynchronous, lease: Self.lease / 2)
        try JoinedMirror(old, mirror).catchUp()
        mirror.right.extend(to: NIODeadline.now().uptimeNanoseconds + lease)
        return mirror
    }

    private static let hour: UInt64 = 3_600_000_000_000

    @Test("It waits for the term, ends the sessions of others, then leads; and resigns at its end")
    func order() async throws {
        let node = try mirror(isSynchronous: true, lease: Self.hour)
        let world = World(node, isSynchronous: true)
        let start = NIODeadline.now().uptimeNanoseconds
        try await world.run {
            try await eventually("never led") { world.leads }
            let timing = LeadershipTiming(lease: Self.lease)
            #expect(NIODeadline.now().uptimeNanoseconds >= timing.endOfTerm(since: start))
            #expect(world.arbiter.events == [.tookLock, .endedSessions, .onLeadWithRight(false)])
            #expect(!world.source.right.isFollowing)
            #expect(world.source.log.position.epoch != 5)
        }
        #expect(Array(world.arbiter.events.suffix(2)) == [.onFollowWithRight(false), .resigned])
        #expect(!world.service.isLeading)
        #expect(world.source.right.isFollowing && world.source.right.deadline == 0)
    }

    @Test(
        "The mirror is kept only where commits waited for it up to the end of the term",
        arguments: [(true, hour, true), (true, 1, false), (false, hour, false)])
    func warm(isSynchronous: Bool, lease: UInt64, isKept: Bool) async throws {
        let node = try mirror(isSynchronous: isSynchronous, lease: lease)
        let world = World(node, isSynchronous: isSynchronous)
        let entries = node.cache
        #expect(entries.entries(ofShard: 0).count == 1)
        try await world.run {
            try await eventually("never led") { world.leads }
            #expect(world.service.figures == (takeovers: 1, withMirror: isKept ? 1 : 0))
            #expect(entries.entries(ofShard: 0).count == (isKept ? 1 : 0))
        }
    }

    @Test("A mirror that has begun anew while sessions were being ended is not kept")
    func beginsAnewDuringTakeOver() async throws {
        let node = try mirror(isSynchronous: true, lease: Self.hour)
        let world = World(node, isSynchronous: true)
        world.arbiter.failToEndSessions(1_000_000)
        try await world.run {
            try await eventually("never tried") {
                world.arbiter.events.contains(.failedToEndSessions)
            }
            // As the applier does when another node has been found to follow.
            world.source.right.follow(.init(epoch: 9, index: 3))
            world.arbiter.failToEndSessions(0)
            try await eventually("never led") { world.leads }
            #expect(world.service.figures == (takeovers: 1, withMirror: 0))
        }
    }

    @Test("It does not lead while sessions of others cannot be ended")
    func failingFence() async throws {
        let node = try mirror(isSynchronous: true, lease: Self.hour)
        let world = World(node, isSynchronous: true)
        world.arbiter.failToEndSessions(3)
        try await world.run {
            try await eventually("never led") { world.leads }
            #expect(
                world.arbiter.events == [
                    .tookLock, .failedToEndSessions, .failedToEndSessions, .failedToEndSessions,
                    .endedSessions, .onLeadWithRight(false),
                ])
        }
    }

    @Test("It follows while another has the lock, and takes it when that is free")
    func waits() async throws {
        let world = World(try mirror(isSynchronous: false, lease: 1), isSynchronous: false)
        world.arbiter.set(free: false)
        try await world.run {
            #expect(!world.service.isLeading)
            world.arbiter.set(free: true)
            try await eventually("never led") { world.leads }
        }
    }

    @Test("Who has lost the lock gives up the right, then its links, and then follows")
    func stepsDown() async throws {
        let world = World(try mirror(isSynchronous: true, lease: Self.hour), isSynchronous: true)
        try await world.run {
            try await eventually("never led") { world.leads }
            world.arbiter.loseLock()
            try await eventually("never stepped down") {
                world.arbiter.events.contains(.onFollowWithRight(false))
                    && world.source.right.isFollowing
            }
            #expect(!world.service.isLeading)
            #expect(world.source.right.deadline == 0)
            #expect(world.source.log.position == .init(epoch: 0, index: 0))
        }
    }

    @Test("A node whose links cannot lead to the database does not lead after all, and tries again")
    func failingLinks() async throws {
        let failed = SetOnce()
        let world = World(
            try mirror(isSynchronous: true, lease: Self.hour), isSynchronous: true,
            failsToLead: failed)
        try await world.run {
            try await eventually("never led") { world.leads && failed.isSet }
            let links = world.arbiter.events.filter { $0 != .endedSessions && $0 != .tookLock }
            #expect(
                links == [
                    .onLeadWithRight(false), .onFollowWithRight(false), .onLeadWithRight(false),
                ])
        }
    }

    @Test("Commits of a new leader wait for the leases that its predecessor may have granted")
    func holds() async throws {
        let node = try mirror(isSynchronous: true, lease: Self.hour)
        let world = World(node, isSynchronous: true)
        let start = NIODeadline.now().uptimeNanoseconds
        try await world.run {
            try await eventually("never led") { world.leads }
            let followers = world.source.log.followers
            let end = LeadershipTiming(lease: Self.lease).endOfLeases(since: start)
            #expect(!followers.isKnown(1, now: end - 1))
            #expect(followers.isKnown(1, now: NIODeadline.now().uptimeNanoseconds + Self.lease))
        }
    }

    @Test("A node that hands over lets transactions end, gives up its links, and only then the lock")
    func handingOver() async throws {
        let world = World(try mirror(isSynchronous: true, lease: Self.hour), isSynchronous: true)
        try await world.run {
            try await eventually("never led") { world.leads }
            world.arbiter.set(free: false)
            world.service.handOver()
            try await eventually("never handed over") { world.arbiter.events.contains(.yielded) }
            let events = world.arbiter.events
            let order: [FakeArbiter.Event] = [.handedOver, .onFollowWithRight(false), .yielded]
            #expect(events.filter(order.contains) == order)
        }
    }

    @Test("Who follows nobody cannot be promoted; who leads already need not be")
    func promotion() async throws {
        let world = World(try mirror(isSynchronous: true, lease: Self.hour), isSynchronous: true)
        world.arbiter.set(free: false)
        try await world.run {
            #expect(await world.service.promote() == "it follows no node that leads")
            world.arbiter.set(free: true)
            try await eventually("never led") { world.leads }
            #expect(await world.service.promote() == nil)
        }
    }
}
