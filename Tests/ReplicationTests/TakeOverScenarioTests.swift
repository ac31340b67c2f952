import Mutants
import ResultCache
import Testing

@testable import Replication

/// For each rule of mirrors and take-overs the shortest story in which a wrong answer would be given
/// without it, told by the product's own classes: no answer with the rule, one with its mutant.
///
/// A lease of 2,000 makes terms of 500 and followers' leases of 1,000 nanoseconds. Synchronous
/// unless said otherwise.
@Suite("What each rule of mirrors is there for")
struct TakeOverScenarioTests {
    private static let timing = LeadershipTiming(lease: 2000)
    private static let nothing = MirrorLog.Position(epoch: 0, index: 0)

    /// Whether somebody is given an answer that they must not be given.
    typealias Story = @Sendable () throws -> Bool

    private static func newLeader(isSynchronous: Bool = true) -> MirroredNode {
        MirroredNode(isSynchronous: isSynchronous, epoch: 5)
    }

    private static func newMirror(isSynchronous: Bool = true) -> MirroredNode {
        MirroredNode(isSynchronous: isSynchronous)
    }

    /// Whether `node` answers what is asked of it.
    private static func answers(
        _ node: MirroredNode, at now: UInt64, seen: MirrorLog.Position = nothing
    ) -> Bool {
        guard let reply = node.lookup("r", now: now) else { return false }
        return node.right.covers(now: now, seen: seen) && reply.isCurrent
    }

    /// Asks at one time and applies the answer at another, as `FollowerHandler` does it.
    private static func prove(
        _ joined: JoinedMirror, at now: UInt64, heardAt: UInt64? = nil, number: UInt64 = 1
    ) throws {
        try joined.catchUp(now: now)
        guard let question = joined.mirror.applier.question(now: now) else { return }
        let followers = joined.source.log.followers
        joined.stream.asked(question, now: now, lease: followers.lease) {
            followers.grant(number, acknowledged: joined.mirror.applier.position.index, now: now)
        }
        try joined.catchUp(now: heardAt ?? now)
    }

    /// Whether a commit may be sent by then, of which nobody else has heard.
    private static func commits(_ node: MirroredNode, at now: UInt64) throws -> Bool {
        let window = try #require(node.open("r"))
        return node.log.followers.isKnown(window.logIndex, now: now)
    }

    private static let mirrorIgnoresLease: Story = {
        let (source, mirror) = (newLeader(), newMirror())
        source.fill("r", "old")
        try JoinedMirror(source, mirror).catchUp()
        return try commits(source, at: 100) && answers(mirror, at: 200)
    }

    private static let leaseFromAnswer: Story = {
        let (source, mirror) = (newLeader(), newMirror())
        source.fill("r", "old")
        try prove(try JoinedMirror(source, mirror), at: 100, heardAt: 1000)
        // The leader takes the lease to end two per cent later than it does.
        guard try !commits(source, at: 1_119), try commits(source, at: 1_120) else { return false }
        return answers(mirror, at: 1_120)
    }

    private static let ageIgnored: Story = {
        let (source, middle) = (newLeader(isSynchronous: false), newMirror(isSynchronous: false))
        let leaf = newMirror(isSynchronous: false)
        source.fill("r", "old")
        try prove(try JoinedMirror(source, middle), at: 100)
        // The connection is lost, and "r" is written at 200.
        try prove(try JoinedMirror(middle, leaf), at: 1_000)
        return answers(leaf, at: 200 + 1_001)
    }

    private static let leaseBeyondTerm: Story = {
        let (old, new, other) = (newLeader(), newMirror(), newMirror())
        old.fill("r", "old")
        old.right.lead(until: 500)
        let joined = try JoinedMirror(old, other)
        // The lock is another's at 600, while the old leader still answers its followers.
        try prove(joined, at: 2_000)
        new.takeOver(isWarm: false, leasesEnd: timing.endOfLeases(since: 600), epoch: 6)
        return try commits(new, at: 2_500) && answers(other, at: 2_600)
    }

    private static let seenIsIgnored: Story = {
        let (source, mirror) = (newLeader(isSynchronous: false), newMirror(isSynchronous: false))
        source.fill("r", "old")
        try prove(try JoinedMirror(source, mirror), at: 100)
        let window = try #require(source.open("r"))
        source.close(window)
        return answers(mirror, at: 200, seen: source.log.lastWrite)
    }

    private static let commitDoesNotWait: Story = {
        let (source, mirror) = (newLeader(), newMirror())
        source.fill("r", "old")
        try prove(try JoinedMirror(source, mirror), at: 100)
        return try commits(source, at: 200) && answers(mirror, at: 300)
    }

    private static let storedWithoutCheck: Story = {
        let (source, mirror) = (newLeader(), newMirror())
        let joined = try JoinedMirror(source, mirror)
        let found = try #require(source.fill("r", "old"))
        try joined.catchUp()
        mirror.cache.removeAll()
        // It was found for the mirror's session; before it is told again, there is a write.
        source.close(try #require(source.open("r")))
        source.log.stored(found)
        try prove(joined, at: 100)
        return answers(mirror, at: 200)
    }

    private static let keptAtBegin: Story = {
        let (source, mirror) = (newLeader(), newMirror())
        source.fill("r", "old")
        try JoinedMirror(source, mirror).catchUp()
        // Written while nobody followed.
        source.close(try #require(source.open("r")))
        try prove(try JoinedMirror(source, mirror), at: 100)
        return answers(mirror, at: 200)
    }

    private static let withoutTerm: Story = {
        let (old, new, other) = (newLeader(), newMirror(), newMirror())
        old.fill("r", "old")
        old.right.lead(until: 500)
        // The lock is lost at 0 already; the old leader does not know, and grants another lease.
        let end = timing.endOfTerm(since: 0)
        let leasesEnd = timing.endOfLeases(since: 0)
        try prove(try JoinedMirror(old, other), at: 480)
        new.takeOver(isWarm: new.right.lasts(beyond: end), leasesEnd: leasesEnd, epoch: 6)
        return try commits(new, at: leasesEnd) && answers(other, at: leasesEnd + 1)
    }

    private static let keepsExpiredMirror: Story = {
        let (old, new) = (newLeader(), newMirror())
        old.fill("r", "old")
        try prove(try JoinedMirror(old, new), at: 100)
        // The connection is lost; the lease runs out, and a commit does not wait for it.
        guard try commits(old, at: 1_200) else { return false }
        let end = timing.endOfTerm(since: 1_300)
        new.takeOver(
            isWarm: new.right.lasts(beyond: end), leasesEnd: timing.endOfLeases(since: 1_300),
            epoch: 6)
        new.right.lead(until: 10_000)
        return answers(new, at: 5_000)
    }

    private static let keepsOpenWindows: Story = {
        let (old, new) = (newLeader(), newMirror())
        old.fill("r", "old")
        let joined = try JoinedMirror(old, new)
        try joined.catchUp()
        let window = try #require(old.open("r"))
        try prove(joined, at: 100)
        old.log.followers.acknowledged(1, window.logIndex, now: 150)
        // The commit becomes visible, and the old leader dies before it can say so.
        guard old.log.followers.isKnown(window.logIndex, now: 200) else { return false }
        let isWarm = new.right.lasts(beyond: timing.endOfTerm(since: 300))
        guard isWarm else { return false }
        new.takeOver(isWarm: true, leasesEnd: timing.endOfLeases(since: 300), epoch: 6)
        new.right.lead(until: 10_000)
        return answers(new, at: 5_000)
    }

    private static let forgetsLeases: Story = {
        let (old, new, other) = (newLeader(), newMirror(), newMirror())
        old.fill("r", "old")
        old.right.lead(until: 500)
        try prove(try JoinedMirror(old, other), at: 480)
        let end = timing.endOfTerm(since: 500)
        new.takeOver(isWarm: false, leasesEnd: timing.endOfLeases(since: 500), epoch: 6)
        return try commits(new, at: end) && answers(other, at: end)
    }

    private static let stories: [(Mutant, Story)] = [
        (.mirrorIgnoresLease, mirrorIgnoresLease), (.leaseFromAnswer, leaseFromAnswer),
        (.ageIgnored, ageIgnored), (.leaseBeyondTerm, leaseBeyondTerm),
        (.seenIsIgnored, seenIsIgnored), (.commitDoesNotWaitForFollowers, commitDoesNotWait),
        (.storedWithoutCheckUnderLock, storedWithoutCheck), (.mirrorKeptAtBegin, keptAtBegin),
        (.takeOverWithoutTerm, withoutTerm), (.takeOverKeepsExpiredMirror, keepsExpiredMirror),
        (.takeOverKeepsOpenWindows, keepsOpenWindows), (.takeOverForgetsLeases, forgetsLeases),
    ]

    @Test(
        "Nobody is given a wrong answer, and somebody would be without the rule", arguments: stories
    )
    func rule(mutant: Mutant, story: Story) throws {
        #expect(try !story())
        let isWrong = try Mutant.$scoped.withValue(mutant) { try story() }
        #expect(isWrong)
    }

    @Test("Every mutant of mirrors has its story")
    func isComplete() {
        // That of the entries is in `MirrorStreamTests`.
        let told = Self.stories.map(\.0) + [.entriesWithoutCheckUnderLock]
        #expect(Set(told) == Set(Mutant.ofMirrors))
    }
}
