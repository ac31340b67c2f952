import TestSupport
import Testing

@testable import Replication

@Suite("How long everything around leadership takes")
struct LeadershipTimingTests {
    /// From the shortest lease that can be configured to an hour.
    private static let leases: [UInt64] = {
        var generator = SeededGenerator(seed: 1)
        return [100_000_000, 2_000_000_000, 3_600_000_000_000]
            + (0..<50).map { _ in .random(in: 100_000_000...60_000_000_000, using: &generator) }
    }()

    @Test("A lease bounds the interruption of a take-over", arguments: leases)
    func interruption(lease: UInt64) {
        let timing = LeadershipTiming(lease: lease)
        #expect(timing.endOfLeases(since: 0) <= lease)
        #expect(timing.endOfTerm(since: 0) < timing.endOfLeases(since: 0))
    }

    @Test(
        "Who takes over waits longer than the predecessor leads, by any clock within two per cent")
    func terms() {
        for lease in Self.leases {
            let timing = LeadershipTiming(lease: lease)
            #expect(timing.endOfTerm(since: 0) >= timing.term + timing.term / 50)
            // A lease granted at the very end of the term is over as well.
            #expect(
                timing.endOfLeases(since: 0) >= timing.term + timing.followerLease
                    + (timing.term + timing.followerLease) / 51)
        }
    }

    @Test("A node that leads asks several times in a term, and a follower in a lease")
    func renewals() {
        for lease in Self.leases {
            let timing = LeadershipTiming(lease: lease)
            #expect(2 * timing.renewal < timing.term)
            #expect(timing.attempt < timing.term)
            let settings = HandlerHarness.settings(lease: lease)
            #expect(3 * settings.heartbeatInterval < timing.followerLease)
        }
    }
}
