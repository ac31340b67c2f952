import NIOCore
import ResultCache
import Synchronization
import Testing

@testable import Replication

/// Leases are 1,000 nanoseconds long here.
@Suite("A mirror's lease")
struct MirrorLeaseTests {
    private func caughtUp() throws -> (MirroredNode, MirroredNode, JoinedMirror) {
        let source = MirroredNode(epoch: 5)
        let mirror = MirroredNode()
        let joined = try JoinedMirror(source, mirror)
        try joined.catchUp()
        return (source, mirror, joined)
    }

    @Test("It counts from when the question was sent, by the mirror's own clock")
    func fromTheQuestion() throws {
        let (_, mirror, joined) = try caughtUp()
        #expect(mirror.right.deadline == 0)
        try joined.prove(askedAt: 5_000, heardAt: 77, now: 5_400)
        #expect(mirror.right.deadline == 6_000)
        #expect(mirror.applier.lastProof == 5_000)
    }

    @Test("An answer comes after all that was in the log when it was asked for")
    func answersInOrder() throws {
        let (source, mirror, joined) = try caughtUp()
        let question = try #require(mirror.applier.question(now: 10))
        let window = try #require(source.open("r"))
        joined.stream.asked(question, now: 10, lease: 1000) {}
        var isOpen = false
        while let messages = try joined.next() {
            for message in messages {
                if case .opened = message { isOpen = true }
                if case .answer = message { #expect(isOpen) }
                try mirror.applier.apply(message, now: 20)
            }
        }
        #expect(mirror.right.deadline == 1_010)
        source.close(window)
    }

    @Test("An answer to nothing that was asked, or of before the last beginning, counts nothing")
    func strangeAnswers() throws {
        let (_, mirror, _) = try caughtUp()
        let old = try #require(mirror.applier.question(now: 10))
        try mirror.applier.apply(
            .begin(MirrorLog.Position(epoch: 5, index: 0), open: []), now: 20)
        try mirror.applier.apply(.answer(old, age: 0), now: 30)
        try mirror.applier.apply(.answer(old + 100, age: 0), now: 30)
        #expect(mirror.right.deadline == 0)
        let question = try #require(mirror.applier.question(now: 40))
        try mirror.applier.apply(.answer(question, age: 1_001), now: 50)
        #expect(mirror.right.deadline == 0)
        try mirror.applier.apply(.answer(question, age: 0), now: 50)
        #expect(mirror.right.deadline == 0, "a question is answered once")
    }

    @Test("Only so many questions are unanswered, and silence is as old as the first of them")
    func questions() throws {
        let (_, mirror, joined) = try caughtUp()
        var sent = 0
        while let question = mirror.applier.question(now: 100) {
            sent += 1
            joined.stream.asked(question, now: 100, lease: 1000) {}
        }
        #expect(sent == 64)
        #expect(mirror.applier.silence(now: 150) == 50)
        try joined.catchUp(now: 150)
        #expect(mirror.applier.silence(now: 150) == 0)
        #expect(mirror.applier.question(now: 160) != nil)
    }

    @Test("A node whose term is over answers that it is there, and proves nothing")
    func leaderBeyondItsTerm() throws {
        let (source, mirror, joined) = try caughtUp()
        source.right.lead(until: 500)
        try joined.prove(askedAt: 100, heardAt: 500)
        #expect(joined.answers == 1)
        #expect(mirror.right.deadline == 0 && mirror.applier.silence(now: 600) == 0)
        try joined.prove(askedAt: 100, heardAt: 499)
        #expect(joined.answers == 2)
        #expect(mirror.right.deadline == 1_100)
        var isGranted = false
        joined.stream.asked(99, now: 500, lease: 1000) { isGranted = true }
        #expect(!isGranted)
    }

    @Test("No lease is granted for a question of another epoch")
    func otherEpoch() throws {
        let (source, _, joined) = try caughtUp()
        source.log.lead(epoch: 6)
        var isGranted = false
        joined.stream.asked(1, now: 10, lease: 1000) { isGranted = true }
        #expect(!isGranted)
        try joined.catchUp()
        #expect(joined.answers == 0)
    }

    @Test("Who waits for followers of one epoch is not kept waiting by those of the next")
    func waitingBeyondAnEpoch() throws {
        let source = MirroredNode(isSynchronous: true, epoch: 5)
        let former = MirroredNode(isSynchronous: true)
        let joined = try JoinedMirror(source, former)
        try joined.catchUp()
        source.log.followers.grant(1, acknowledged: 0, now: 0)
        for relation in ["r", "s", "t"] { _ = source.open(relation) }
        let awaited = source.log.position.index
        let isReleased = Atomic(false)
        source.log.followers.whenKnown(awaited, now: 0) {
            isReleased.store(true, ordering: .relaxed)
        }
        // It follows another, whose log is short, and leads again at once.
        let nowhere = MirrorLog.Position(epoch: 0, index: 0)
        source.log.follow(from: nowhere, open: [:])
        source.log.follow(from: MirrorLog.Position(epoch: 6, index: 1), open: [:])
        source.takeOver(isWarm: false, leasesEnd: 2_000, epoch: 7)
        source.right.lead(until: .max)
        // A follower has come before the former one's lease has run out.
        source.log.followers.grant(
            2, acknowledged: source.log.position.index, now: 1_500)
        source.log.followers.expire(now: 2_100)
        let wasReleased = isReleased.load(ordering: .relaxed)
        #expect(wasReleased)
    }

    @Test("What a mirror of a mirror knows is as old as what that one knows")
    func chain() throws {
        let (_, middle, upper) = try caughtUp()
        let leaf = MirroredNode()
        let lower = try JoinedMirror(middle, leaf)
        try lower.catchUp()
        // Without a lease of its own the node in the middle proves nothing.
        try lower.prove(askedAt: 100)
        #expect(leaf.right.deadline == 0)
        try upper.prove(askedAt: 1_000)
        #expect(middle.right.deadline == 2_000)
        // The leaf's clock shows something else altogether.
        try lower.prove(askedAt: 90_000, heardAt: 1_300)
        #expect(leaf.right.deadline == 90_000 - 300 + 1_000)
        try lower.prove(askedAt: 90_100, heardAt: 2_000)
        #expect(leaf.right.deadline == 90_700)
    }

    @Test("A mirror of a mirror holds what that one holds, windows and all")
    func chainContents() throws {
        let (source, middle, upper) = try caughtUp()
        source.fill("r", "1")
        try upper.catchUp()
        let leaf = MirroredNode()
        let lower = try JoinedMirror(middle, leaf)
        let window = try #require(source.open("s"))
        for joined in [upper, lower] { try joined.catchUp() }
        #expect(leaf.text("r") == "1")
        #expect(leaf.log.openWindows == 1)
        #expect(leaf.log.position == source.log.position)
        source.close(window)
        source.fill("s", "2")
        for joined in [upper, lower] { try joined.catchUp() }
        #expect(leaf.text("s") == "2")
        #expect(leaf.log.position == source.log.position)
    }

    @Test("What others have committed is looked for before a proof is given")
    func notice() throws {
        let noticed = SetOnce()
        let source = MirroredNode(epoch: 5, notice: { noticed.set() })
        let joined = try JoinedMirror(source, MirroredNode())
        try joined.catchUp()
        #expect(!noticed.isSet)
        try joined.prove(askedAt: 1)
        #expect(noticed.isSet)
    }
}
