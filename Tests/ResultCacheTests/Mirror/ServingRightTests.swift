import Testing

@testable import ResultCache

@Suite("The right to answer from memory")
struct ServingRightTests {
    private let nothing = MirrorLog.Position(epoch: 0, index: 0)

    @Test("A node on its own always has it")
    func alone() {
        let right = ServingRight()
        #expect(!right.isLimited)
        #expect(!right.isFollowing)
        #expect(right.covers(now: .max - 1, seen: .init(epoch: 1, index: 9)))
        #expect(right.mayWrite(now: .max - 1))
    }

    @Test(
        "A mirror has it while its lease lasts, for those who have seen no more than it has applied"
    )
    func mirror() {
        let right = ServingRight()
        right.follow(.init(epoch: 4, index: 10))
        #expect(right.isLimited && right.isFollowing)
        #expect(!right.covers(now: 0, seen: nothing))
        right.extend(to: 100)
        #expect(right.covers(now: 99, seen: nothing))
        #expect(!right.covers(now: 100, seen: nothing))
        #expect(right.covers(now: 99, seen: .init(epoch: 4, index: 10)))
        #expect(!right.covers(now: 99, seen: .init(epoch: 4, index: 11)))
        right.applied(11)
        #expect(right.covers(now: 99, seen: .init(epoch: 4, index: 11)))
        // Numbers of another log cannot be compared.
        #expect(!right.covers(now: 99, seen: .init(epoch: 3, index: 1)))
        #expect(!right.covers(now: 99, seen: .init(epoch: 5, index: 1)))
        // What it relays is another node's business.
        #expect(right.mayWrite(now: 1_000))
        right.revoke()
        #expect(!right.covers(now: 0, seen: nothing))
    }

    @Test("A node that leads has it for its term, whatever was seen, and may not write after it")
    func leader() {
        let right = ServingRight()
        right.follow(.init(epoch: 4, index: 10))
        right.extend(to: 100)
        right.lead(until: 0)
        #expect(!right.covers(now: 1, seen: nothing))
        #expect(!right.mayWrite(now: 1))
        right.lead(until: 50)
        #expect(right.covers(now: 49, seen: .init(epoch: 9, index: 999)))
        #expect(right.mayWrite(now: 49))
        #expect(!right.covers(now: 50, seen: nothing))
        #expect(!right.mayWrite(now: 50))
    }

    @Test("A mirror that begins anew has no right until it is told so")
    func anew() {
        let right = ServingRight()
        right.follow(.init(epoch: 4, index: 10))
        right.extend(to: 100)
        #expect(right.lasts(beyond: 99))
        #expect(!right.lasts(beyond: 100))
        right.follow(.init(epoch: 5, index: 0))
        #expect(right.deadline == 0)
        #expect(!right.lasts(beyond: 0))
    }
}
