import NIOCore
import PostgresWire
import Synchronization
import Testing

@testable import Security

struct LoginLimitsTests {
    private func group(_ number: Int) -> PeerAddress.Group? {
        PeerAddress.network([
            10, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255),
        ])
        .group
    }

    @Test("An address that has failed often enough waits, others do not")
    func failures() {
        let failures = FailedLogins()
        func allows(_ number: Int, _ now: UInt64) -> Bool {
            failures.allows(group(number), limit: 3, window: 100, now: now)
        }
        for _ in 0..<3 {
            #expect(allows(1, 1000))
            failures.failed(group(1), window: 100, now: 1000)
        }
        #expect(!allows(1, 1000) && !allows(1, 1099))
        #expect(allows(2, 1000))
        // The last window counts by the part of it that is not over yet.
        #expect(allows(1, 1150))
        #expect(allows(1, 5000))
        #expect(failures.allows(group(1), limit: 0, window: 100, now: 1000))
        #expect(failures.allows(nil, limit: 1, window: 100, now: 1000))
    }

    @Test("Time that does not go on, or goes far, does no harm")
    func time() {
        let failures = FailedLogins()
        for now in [UInt64.max, 0, 5, .max, .max - 1, 1] {
            failures.failed(group(1), window: .max, now: now)
            failures.failed(group(1), window: 1, now: now)
            _ = failures.allows(group(1), limit: 1, window: 1, now: now)
        }
    }

    @Test("A flood of addresses stays within its bounds and is counted on")
    func bounded() {
        let failures = FailedLogins()
        for number in 0..<100_000 {
            failures.failed(group(number), window: 1_000_000, now: 10)
        }
        #expect(failures.count <= 2 * 16_384)
        for _ in 0..<3 { failures.failed(group(7), window: 1_000_000, now: 20) }
        #expect(!failures.allows(group(7), limit: 3, window: 1_000_000, now: 20))
    }

    @Test("Connections are counted by address, pending ones in total as well")
    func quota() {
        let quota = ConnectionQuota()
        let limits = ConnectionQuota.Limits(pending: 3, pendingPerAddress: 2, perAddress: 3)
        #expect(quota.open(group(1), limits) == nil)
        #expect(quota.open(group(1), limits) == nil)
        #expect(quota.open(group(1), limits) == .pendingFromAddress)
        #expect(quota.open(group(2), limits) == nil)
        #expect(quota.open(group(3), limits) == .pending)
        #expect(quota.open(nil, limits) == .pending)
        quota.authenticated(group(1))
        #expect(quota.open(group(1), limits) == nil)
        quota.authenticated(group(1))
        #expect(quota.open(group(1), limits) == .fromAddress)
        quota.close(group(1), isPending: false)
        #expect(quota.open(group(1), limits) == nil)
        quota.close(group(1), isPending: true)
        quota.close(group(1), isPending: true)
        quota.close(group(1), isPending: false)
        quota.close(group(2), isPending: true)
        #expect(quota.pending == 0 && quota.addressCount == 0)
    }

    @Test("A secret is asked for once, whoever waits, and kept until it expires")
    func secrets() {
        let table = RoleSecretTable()
        let received = Mutex(0)
        let receive: RoleSecretTable.Receiver = { _ in received.withLock { $0 += 1 } }
        guard case .ask(let generation) = table.find("alice", now: 0, receiver: receive),
            case .waiting = table.find("alice", now: 0, receiver: receive),
            case .ask = table.find("bob", now: 0, receiver: receive)
        else {
            Issue.record("not asked, or twice")
            return
        }
        #expect(table.waitingCount == 3)
        table.answered("alice", .secret(nil), generation: generation, expiry: 10, now: 1)
        #expect(received.withLock { $0 } == 2 && table.waitingCount == 1)
        guard case .known(nil) = table.find("alice", now: 9, receiver: receive),
            case .ask = table.find("alice", now: 10, receiver: receive)
        else {
            Issue.record("kept for another time")
            return
        }
        table.answered("alice", .unavailable, generation: generation, expiry: 99, now: 10)
        guard case .ask = table.find("alice", now: 11, receiver: receive) else {
            Issue.record("a failure was kept")
            return
        }
        table.removeAll()
        table.answered("alice", .secret(nil), generation: generation, expiry: 99, now: 12)
        guard case .ask = table.find("alice", now: 13, receiver: receive) else {
            Issue.record("an answer to an old question was kept")
            return
        }
    }

    @Test("Questions that wait are bounded")
    func waiting() {
        let table = RoleSecretTable()
        var refused = 0
        for number in 0..<2000 {
            if case .refused = table.find("user\(number)", now: 0, receiver: { _ in }) {
                refused += 1
            }
        }
        #expect(refused == 2000 - 1024)
    }

    @Test("Comparison of secrets")
    func constantTime() {
        #expect(ConstantTime.areEqual([], []))
        #expect(ConstantTime.areEqual([1, 2, 3], [1, 2, 3]))
        #expect(!ConstantTime.areEqual([1, 2, 3], [1, 2, 4]))
        #expect(!ConstantTime.areEqual([1, 2, 3], [1, 2]))
        #expect(!ConstantTime.areEqual([0], []))
    }
}
