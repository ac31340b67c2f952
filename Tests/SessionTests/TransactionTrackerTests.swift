import PostgresWire
import SQLAnalysis
import Testing

@testable import Session

@Suite("TransactionTracker")
struct TransactionTrackerTests {
    private let flights = RelationIdentifier("1")
    private let planes = RelationIdentifier("2")

    private func write(_ relation: RelationIdentifier) -> StatementProfile {
        StatementProfile(kind: .write, writeSet: .relations([relation]))
    }

    private func segment(_ steps: StatementProfile...) -> ForwardedSegment {
        let segment = ForwardedSegment(isAbsorbed: false, startedIdle: true, startedAt: 0)
        for step in steps { segment.append(step) }
        return segment
    }

    @Test("a read after the block's own write bypasses until the block has ended")
    func ownWrites() {
        var transaction = TransactionTracker()
        let begin = segment(StatementProfile(kind: .transaction(.begin(isolation: nil))))
        transaction.sent(begin)
        #expect(transaction.bypassReason == .repliesOutstanding)
        transaction.ready(.inBlock, for: begin, isLast: true)
        #expect(transaction.bypassReason == nil)
        transaction.sent(write(flights), catalogVersion: 1)
        #expect(transaction.bypassReason == .transactionWrote)
        let commit = segment(StatementProfile(kind: .transaction(.commit(chain: false))))
        transaction.sent(commit)
        transaction.ready(.idle, for: commit, isLast: true)
        #expect(transaction.bypassReason == nil)
        #expect(transaction.writes == .nothing)
    }

    @Test("writes accumulate over the block, with the oldest catalog they were decided from")
    func accumulates() {
        var transaction = TransactionTracker()
        transaction.sent(write(flights), catalogVersion: 9)
        transaction.sent(write(planes), catalogVersion: 4)
        #expect(transaction.writes == .relations([flights, planes]))
        #expect(transaction.writesCatalogVersion == 4)
    }

    @Test("of a block's writes the keys are those of all its statements, while each tells them")
    func accumulatesKeys() {
        func write(_ columns: [String: Set<KeyOperand>]) -> StatementProfile {
            StatementProfile(kind: .write, writeSet: .relations([flights: RowPins(columns)]))
        }
        let one = KeyOperand.value(.integer(1))
        let two = KeyOperand.value(.integer(2))
        var transaction = TransactionTracker()
        transaction.sent(write(["id": [one], "name": [one]]), catalogVersion: 1)
        transaction.sent(write(["id": [two]]), catalogVersion: 1)
        #expect(transaction.writes == .relations([flights: RowPins(["id": [one, two]])]))
        transaction.sent(write(["name": [two]]), catalogVersion: 1)
        #expect(transaction.writes == .relations([flights: .anyRow]))
        transaction.distrustWrites()
        #expect(transaction.writes == .everything)
    }

    @Test("while other segments are outstanding, what was written is not forgotten")
    func pipelined() {
        var transaction = TransactionTracker()
        let first = segment(write(flights))
        transaction.sent(write(flights), catalogVersion: 1)
        transaction.sent(first)
        transaction.ready(.idle, for: first, isLast: false)
        #expect(transaction.writes == .relations([flights]))
    }

    @Test("repeatable read and serializable blocks bypass, named or by default")
    func isolation() {
        var transaction = TransactionTracker()
        transaction.sent(
            StatementProfile(kind: .transaction(.begin(isolation: .repeatableRead))),
            catalogVersion: 1)
        let begin = segment()
        transaction.ready(.inBlock, for: begin, isLast: true)
        #expect(transaction.bypassReason == .isolationLevel)

        var byDefault = TransactionTracker()
        byDefault.defaultIsolation = .serializable
        #expect(byDefault.bypassReason == nil)
        byDefault.beganLazily(.init(begin: "BEGIN", isReadCommitted: false))
        #expect(byDefault.bypassReason == .isolationLevel)
        byDefault.endedLazily()
        byDefault.beganLazily(
            .init(begin: "BEGIN ISOLATION LEVEL READ COMMITTED", isReadCommitted: true))
        #expect(byDefault.bypassReason == nil)
    }

    @Test("a level asked for within a block, or as the new default, makes it only stricter")
    func stricter() {
        func sent(_ command: TransactionCommand, to transaction: inout TransactionTracker) {
            transaction.sent(
                StatementProfile(kind: .transaction(command)), catalogVersion: 1)
        }
        var transaction = TransactionTracker()
        sent(.begin(isolation: .repeatableRead), to: &transaction)
        transaction.ready(.inBlock, for: segment(), isLast: true)
        sent(.setTransaction(isolation: .readCommitted), to: &transaction)
        #expect(transaction.bypassReason == .isolationLevel)

        var byDefault = TransactionTracker()
        byDefault.defaultIsolation = .serializable
        sent(.begin(isolation: nil), to: &byDefault)
        byDefault.ready(.inBlock, for: segment(), isLast: true)
        byDefault.defaultIsolation = .readCommitted
        #expect(byDefault.bypassReason == .isolationLevel)

        // COMMIT; BEGIN in one go: the first block's level is not the second's.
        var chained = TransactionTracker()
        chained.defaultIsolation = .serializable
        sent(.begin(isolation: .readCommitted), to: &chained)
        sent(.commit(chain: false), to: &chained)
        sent(.begin(isolation: nil), to: &chained)
        chained.ready(.inBlock, for: segment(), isLast: true)
        #expect(chained.bypassReason == .isolationLevel)
    }

    @Test("SET TRANSACTION after an unseen read must be made to fail by the server")
    func unseenReads() {
        var transaction = TransactionTracker()
        transaction.beganLazily(.init(begin: "BEGIN", isReadCommitted: false))
        let set = StatementProfile(
            kind: .transaction(.setTransaction(isolation: .serializable)))
        #expect(!transaction.mustBeSeen(before: set))
        transaction.answeredFromMemory()
        #expect(transaction.mustBeSeen(before: set))
        #expect(!transaction.mustBeSeen(before: StatementProfile(kind: .read)))
    }
}
