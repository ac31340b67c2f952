import NIOCore
import Synchronization

@testable import ResultCache

/// Exhaustive search of the interleavings of readers and writers that use the real cells,
/// windows, leases, cache and flights, in front of a model database.
///
/// A schedule is a list of thread numbers; each thread is a short program whose steps are atomic
/// here. Real objects cannot be rolled back, so each schedule is run from the beginning; states
/// that were seen before, by everything that can influence what follows, are not entered again.
///
/// What is checked: each answer is what the database held, in all relations that the question
/// reads, at some instant between the question's arrival and the answer.
struct CoherenceExplorer {
    /// A way to break the protocol, to prove that the search finds it.
    enum Mutant: CaseIterable {
        /// The window is opened when the commit may already be visible.
        case windowOpenedLate
        /// Versions are bumped, but nothing says that a writer is in flight.
        case noWriterCount
        /// The window is closed without a new version.
        case noNewVersion
        /// A window whose connection was lost is closed before the outcome is settled.
        case lostWindowReleased
        /// The window covers only one of the relations that the transaction changes.
        case windowTooSmall
        /// The entry is stamped with the cells as they are when it is stored.
        case stampedAtStore
        /// A follower joins with the lease of the first to ask and not with its own.
        case followsOlderFlight
    }

    enum Ending {
        case commits
        case aborts
        /// The connection dies at COMMIT, the server commits all the same.
        case lost
    }

    struct Transaction {
        var relations: [Int]
        var ending: Ending
    }

    enum Program {
        case writer([Transaction])
        /// One question after the other, each with the relations that it reads.
        case reader([[Int]])
    }

    struct Finding {
        var states = 0
        var hits = 0
        var shared = 0
        /// The first schedule that led to a wrong answer.
        var counterexample: [Int]?
    }

    let programs: [Program]
    var mutant: Mutant?

    func explore() -> Finding {
        var finding = Finding()
        var seen: Set<[Int]> = []
        var pending: [[Int]] = [[]]
        let cells = OwnedCells(count: 3)
        while let schedule = pending.popLast() {
            cells.reset()
            let world = World(cells: cells.cells, programs: programs, mutant: mutant)
            for thread in schedule { world.step(thread) }
            finding.hits = max(finding.hits, world.hits)
            finding.shared = max(finding.shared, world.shared)
            guard seen.insert(world.fingerprint).inserted else { continue }
            finding.states += 1
            if world.foundWrongAnswer {
                finding.counterexample = schedule
                return finding
            }
            for thread in programs.indices where world.canStep(thread) {
                pending.append(schedule + [thread])
            }
        }
        return finding
    }
}

/// Cells outside a table, so that a hundred thousand worlds do not leave as many tables behind.
private final class OwnedCells {
    let cells: [VersionCell]

    init(count: Int) {
        cells = (0..<count).map { _ in
            let word = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 1)
            word.initialize(to: Atomic(0))
            return VersionCell(word: word)
        }
    }

    func reset() {
        for cell in cells { cell.word.pointee.store(0, ordering: .sequentiallyConsistent) }
    }

    deinit {
        for cell in cells {
            cell.word.deinitialize(count: 1)
            cell.word.deallocate()
        }
    }
}

/// One run of all programs along one schedule.
private final class World {
    private let cells: [VersionCell]
    private let mutant: CoherenceExplorer.Mutant?
    private let cache = ReplyCache(
        limits: CacheLimits(memory: 1 << 20, maximumEntry: 1000), shardCount: 1)
    private let flights = FlightTable(shardCount: 1, maximumFollowers: 8)
    /// The database's contents after each commit: how often each of two relations was changed.
    private var history: [[Int]] = [[0, 0]]
    private var threads: [Thread]
    private var stored: [[Int]: [Int]] = [:]
    private var firstLeases: [[Int]: FillLease] = [:]
    private(set) var foundWrongAnswer = false
    private(set) var hits = 0
    private(set) var shared = 0

    private enum Thread {
        case writer(Writer)
        case reader(Reader)
    }

    private struct Writer {
        var transactions: [CoherenceExplorer.Transaction]
        var stage = 0
        var window: WriteWindow?
    }

    private struct Reader {
        enum Stage: Int {
            case idle, captures, joins, runs, stores, waits
        }

        var questions: [[Int]]
        var stage = Stage.idle
        var arrival = 0
        var lease: FillLease?
        var flight: Flight?
        var outcome: Box?
        var contents: [Int] = []
    }

    final class Box: Sendable {
        let outcome = Mutex<FlightOutcome?>(nil)
    }

    init(
        cells: [VersionCell], programs: [CoherenceExplorer.Program],
        mutant: CoherenceExplorer.Mutant?
    ) {
        self.cells = cells
        self.mutant = mutant
        threads = programs.map { program in
            switch program {
            case .writer(let transactions): .writer(Writer(transactions: transactions))
            case .reader(let questions): .reader(Reader(questions: questions))
            }
        }
    }

    func canStep(_ index: Int) -> Bool {
        switch threads[index] {
        case .writer(let writer): !writer.transactions.isEmpty
        case .reader(let reader):
            !reader.questions.isEmpty
                && (reader.stage != .waits || reader.outcome?.outcome.withLock { $0 } != nil)
        }
    }

    func step(_ index: Int) {
        switch threads[index] {
        case .writer(var writer):
            step(&writer)
            threads[index] = .writer(writer)
        case .reader(var reader):
            step(&reader)
            threads[index] = .reader(reader)
        }
    }

    /// Everything that what follows can depend on.
    var fingerprint: [Int] {
        var all = cells.map { Int($0.current) } + history.flatMap { $0 }
        for key in [[0], [1], [0, 1]] { all += [-1] + (stored[key] ?? []) }
        for key in [[0], [1], [0, 1]] { all += [-2, firstLeases[key].map { Int($0.sum) } ?? -1] }
        for thread in threads {
            switch thread {
            case .writer(let writer):
                all += [-3, writer.transactions.count, writer.stage]
            case .reader(let reader):
                all += [-4, reader.questions.count, reader.stage.rawValue, reader.arrival]
                all += [reader.lease.map { Int($0.sum) } ?? -1, reader.flight == nil ? 0 : 1]
                all += reader.contents + [-5]
                switch reader.outcome?.outcome.withLock({ $0 }) {
                case .reply(let reply): all += [1] + contents(of: reply)
                case .leaderFailed: all += [2]
                case .notCacheable: all += [3]
                case nil: all += [0]
                }
            }
        }
        return all + [foundWrongAnswer ? 1 : 0]
    }

    // MARK: Writers

    private func set(_ relations: [Int]) -> CellSet {
        CellSet(relations.map { cells[$0] })
    }

    private func commit(_ relations: [Int]) {
        var contents = history[history.count - 1]
        for relation in relations { contents[relation] += 1 }
        history.append(contents)
    }

    private func step(_ writer: inout Writer) {
        let transaction = writer.transactions[0]
        let covered = mutant == .windowTooSmall ? [transaction.relations[0]] : transaction.relations
        let opensLate = mutant == .windowOpenedLate
        let opensNever = mutant == .noWriterCount
        let releasesLost = transaction.ending == .lost && mutant == .lostWindowReleased
        switch writer.stage {
        case 0 where !opensLate && !opensNever, 2 where opensLate:
            writer.window = WriteWindow.open(set(covered))
        case 1:
            if releasesLost {
                writer.window?.close(.committed)
                writer.window = nil
            }
        case 2, 0: break
        default: break
        }
        // The commit becomes visible in a step of its own.
        if writer.stage == (opensLate ? 1 : 2), transaction.ending != .aborts {
            commit(transaction.relations)
        }
        if writer.stage == 3 {
            if opensNever { writer.window = WriteWindow.open(set(covered)) }
            let grows = transaction.ending != .aborts && mutant != .noNewVersion
            writer.window?.close(grows ? .committed : .aborted)
            writer.window = nil
            writer.transactions.removeFirst()
            writer.stage = 0
        } else {
            writer.stage += 1
        }
    }

    // MARK: Readers

    private func contents(_ question: [Int]) -> [Int] {
        question.map { history[history.count - 1][$0] }
    }

    private func contents(of reply: CachedReply) -> [Int] {
        reply.body.readableBytesView.map { Int($0) }
    }

    private func answer(_ reader: inout Reader, with contents: [Int]) {
        let question = reader.questions.removeFirst()
        let isTrue = history[reader.arrival...].contains { instant in
            question.map { instant[$0] } == contents
        }
        if !isTrue { foundWrongAnswer = true }
        reader = Reader(questions: reader.questions)
    }

    private func step(_ reader: inout Reader) {
        let question = reader.questions[0]
        let key = question.map { "\($0)" }.joined(separator: ",")
        let all = set(question + [2])
        switch reader.stage {
        case .idle:
            // Arrival and lookup in one step, which leaves a hit the least freedom.
            reader.arrival = history.count - 1
            if let reply = cache.lookup(key) {
                hits += 1
                answer(&reader, with: contents(of: reply))
            } else {
                reader.stage = .captures
            }
        case .captures:
            reader.lease = all.capture()
            reader.stage = reader.lease == nil ? .runs : .joins
        case .joins:
            guard var lease = reader.lease else { return }
            if mutant == .followsOlderFlight {
                lease = firstLeases[question] ?? lease
                firstLeases[question] = lease
            }
            let box = Box()
            switch flights.join(
                key, lease: lease, onEnd: { end in box.outcome.withLock { $0 = end } })
            {
            case .leader(let flight):
                reader.flight = flight
                reader.stage = .runs
            case .follower:
                reader.outcome = box
                reader.stage = .waits
            case .independent:
                reader.stage = .runs
            }
        case .runs:
            reader.contents = contents(question)
            reader.stage = .stores
        case .stores:
            if mutant == .stampedAtStore { reader.lease = all.capture() }
            let body = ByteBuffer(bytes: reader.contents.map { UInt8($0) })
            withBytes(of: key) { bytes in
                let hash = ReplyCache.testHash(key)
                if let lease = reader.lease {
                    let outcome = cache.store(
                        key: bytes, hash: hash, rowDescription: nil, body: body, lease: lease,
                        expiry: .max, now: 1)
                    if outcome.stored != nil {
                        stored[question] = reader.contents + [Int(lease.sum)]
                    }
                    // Followers get the reply whether or not it could be stored: that they may
                    // have it must not hang on what happened after they came.
                    reader.flight?.finish(
                        .reply(
                            CachedReply(
                                key: bytes, hash: hash, rowDescription: nil, body: body,
                                lease: lease, expiry: .max, now: 1)))
                }
            }
            answer(&reader, with: reader.contents)
        case .waits:
            let outcome = reader.outcome?.outcome.withLock { $0 }
            if case .reply(let reply) = outcome {
                shared += 1
                answer(&reader, with: contents(of: reply))
            } else {
                reader.outcome = nil
                reader.stage = .runs
            }
        }
    }
}
