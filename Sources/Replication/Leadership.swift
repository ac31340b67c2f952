import Mutants

/// Who leads, as the database arbitrates it. Implemented by the upstream; every call is a round trip.
package protocol LeadershipArbiter: Sendable {
    /// Takes the lead if nobody has it. True where this node has it now.
    func tryToLead() async throws -> Bool
    /// Whether this node still has it: as of a moment after the call began.
    func isLeading() async throws -> Bool
    /// Ends every session that a node of the group has with the database for its clients, and returns
    /// when none is left: nothing that one of them has sent can become visible from then on.
    func endSessions() async throws -> Int
    /// Whether that is permitted at all: as far as roles tell.
    func mayEndSessions() async throws -> Bool
    /// Waits to be the next to lead. True where this node leads now.
    func waitToLead() async throws -> Bool
    /// Gives the lead up, perhaps to take it again later.
    func yield() async throws
    /// Gives the lead up for good.
    func resign() async
}

/// How long everything around leadership takes, from the one lease that is configured. Nanoseconds.
///
/// With a lease L: a node leads for L/4 after it has last been told that it does; a follower may
/// answer for L/2. Whoever takes the lead over waits for the first, and lets no commit become visible
/// before the second has passed as well, for those whom its predecessor may have told something
/// just before its end. Both together are less than L, so that a lease bounds the interruption too.
/// Clocks need only run at the same rate, within two per cent.
package struct LeadershipTiming: Sendable {
    /// How long a node leads after it has last been told that it does.
    package let term: UInt64
    /// How long a follower may answer after it has last heard.
    package let followerLease: UInt64
    /// How often a node that leads asks whether it does.
    package let renewal: UInt64
    /// How often others try to.
    package let attempt: UInt64

    package init(lease: UInt64) {
        term = lease / 4
        followerLease = lease / 2
        renewal = max(10_000_000, lease / 16)
        attempt = max(10_000_000, lease / 20)
    }

    /// When a predecessor's term is over for certain.
    package func endOfTerm(since acquired: UInt64) -> UInt64 {
        Mutant.takeOverWithoutTerm.isActive ? acquired : acquired + term + term / 50
    }

    /// When nobody holds a lease of the predecessor's any more.
    package func endOfLeases(since acquired: UInt64) -> UInt64 {
        endOfTerm(since: acquired) + followerLease + followerLease / 50
    }
}
