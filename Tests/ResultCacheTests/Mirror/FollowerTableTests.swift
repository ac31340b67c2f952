import Synchronization
import Testing

@testable import ResultCache

/// Leases are 1,000 nanoseconds long, and taken to be two per cent longer.
@Suite("Who holds a lease")
struct FollowerTableTests {
    private final class Count: Sendable {
        private let count = Atomic(0)
        var value: Int { count.load(ordering: .sequentiallyConsistent) }
        func add() { count.add(1, ordering: .sequentiallyConsistent) }
    }

    private let table = FollowerTable(isSynchronous: true, lease: 1000, now: nil)

    @Test("Nothing waits where nobody holds a lease, or commits do not wait at all")
    func nobody() {
        #expect(table.isKnown(7, now: 0))
        let asynchronous = FollowerTable(isSynchronous: false, lease: 1000, now: 0)
        asynchronous.grant(1, acknowledged: 0, now: 0)
        #expect(asynchronous.isKnown(7, now: 1))
        asynchronous.hold(until: 10_000)
        #expect(asynchronous.figures(now: 1).leases == 1)
    }

    @Test("A commit waits for exactly those who hold a lease and have not acknowledged it")
    func waits() {
        table.grant(1, acknowledged: 5, now: 0)
        table.grant(2, acknowledged: 9, now: 0)
        #expect(table.isKnown(5, now: 1))
        #expect(!table.isKnown(6, now: 1))
        let count = Count()
        table.whenKnown(6, now: 1) { count.add() }
        table.whenKnown(9, now: 1) { count.add() }
        table.whenKnown(10, now: 1) { count.add() }
        #expect(table.figures(now: 1) == (leases: 2, waiting: 3))
        table.acknowledged(1, 8, now: 2)
        #expect(count.value == 1)
        table.acknowledged(1, 20, now: 3)
        #expect(count.value == 2)
        table.acknowledged(2, 20, now: 3)
        #expect(count.value == 3)
        #expect(table.figures(now: 3) == (leases: 2, waiting: 0))
    }

    @Test("What is known already is not waited for")
    func atOnce() {
        table.grant(1, acknowledged: 5, now: 0)
        let count = Count()
        table.whenKnown(5, now: 1) { count.add() }
        #expect(count.value == 1)
    }

    @Test("A lease runs out, a little later than its holder thinks")
    func expiry() {
        table.grant(1, acknowledged: 0, now: 100)
        let count = Count()
        table.whenKnown(1, now: 100) { count.add() }
        table.expire(now: 1_119)
        #expect(count.value == 0)
        #expect(!table.isKnown(1, now: 1_119))
        table.expire(now: 1_120)
        #expect(count.value == 1)
        #expect(table.figures(now: 1_120).leases == 0)
    }

    @Test("A lease is prolonged by each grant, and an acknowledgement never taken back")
    func grants() {
        table.grant(1, acknowledged: 5, now: 0)
        table.acknowledged(1, 9, now: 1)
        table.grant(1, acknowledged: 5, now: 1_000)
        table.acknowledged(1, 3, now: 1_001)
        #expect(table.isKnown(9, now: 2_000))
        #expect(!table.isKnown(10, now: 2_000))
    }

    @Test("Who holds no lease has nothing to say")
    func stranger() {
        table.acknowledged(1, 9, now: 0)
        table.grant(1, acknowledged: 0, now: 0)
        #expect(!table.isKnown(1, now: 1))
    }

    @Test("What a predecessor may have promised holds all commits up to its end")
    func hold() {
        table.hold(until: 500)
        table.grant(1, acknowledged: 99, now: 0)
        #expect(!table.isKnown(1, now: 499))
        #expect(table.isKnown(1, now: 500))
        let restarted = FollowerTable(isSynchronous: true, lease: 1000, now: 100)
        #expect(!restarted.isKnown(1, now: 1_119))
        #expect(restarted.isKnown(1, now: 1_120))
    }

    @Test("Whoever waits is called once, whatever comes at the same time")
    func concurrency() async {
        for _ in 0..<50 {
            let table = FollowerTable(isSynchronous: true, lease: 1000, now: nil)
            table.grant(1, acknowledged: 0, now: 0)
            let count = Count()
            await withTaskGroup(of: Void.self) { group in
                for index in 1...8 {
                    group.addTask { table.whenKnown(UInt64(index), now: 1) { count.add() } }
                    group.addTask { table.acknowledged(1, 8, now: 1) }
                }
                group.addTask { table.expire(now: 5_000) }
            }
            table.expire(now: 5_000)
            #expect(count.value == 8)
        }
    }
}
