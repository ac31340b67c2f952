import Mutants
import NIOCore
import Synchronization

@testable import ResultCache

/// Exhaustive search of the interleavings of readers and writers of one table, by key and without,
/// that use the real registry, cells, windows, leases and cache in front of a model database.
///
/// As in `CoherenceExplorer`, a schedule is run from its beginning, and states that were seen
/// before are not entered again. What is checked is the same too: each answer is what the database
/// held at some instant between the question's arrival and the answer.
struct KeyedExplorer {
    /// A way in which a write's pins say less than they must.
    enum Fault: CaseIterable {
        /// An UPDATE that moves a row pins its column to the old key alone, or to the new.
        case newKeyMissing, oldKeyMissing
        /// An UPDATE that may touch any row claims to touch none that has a key.
        case unpinnedMissing
    }

    enum Write {
        /// All rows that have this key.
        case key(Int)
        /// A row whose key the statement does not tell.
        case row(Int)
        /// All rows with one key get another.
        case move(from: Int, to: Int)
    }

    struct Transaction {
        var write: Write
        var commits = true
    }

    enum Question: Hashable {
        case key(Int)
        case all
    }

    enum Program {
        case writer([Transaction])
        case reader([Question])
    }

    struct Finding {
        var states = 0
        var hits = 0
        /// Fills that were keyed, by all rows because the column was not ready, and hits that were
        /// still served after a write to another key.
        var keyedFills = 0
        var fallbacks = 0
        var survivors = 0
        /// The first schedule that led to a wrong answer.
        var counterexample: [Int]?
    }

    let programs: [Program]
    var fault: Fault?

    func explore() -> Finding {
        var finding = Finding()
        var seen: Set<[Int]> = []
        var pending: [[Int]] = [[]]
        // As large as the product's: in a small one two keys may share a cell, which hides faults.
        let table = CellTable()
        while let schedule = pending.popLast() {
            let world = KeyedWorld(table: table, programs: programs, fault: fault)
            for thread in schedule { world.step(thread) }
            finding.hits = max(finding.hits, world.hits)
            finding.keyedFills = max(finding.keyedFills, world.keyedFills)
            finding.fallbacks = max(finding.fallbacks, world.fallbacks)
            finding.survivors = max(finding.survivors, world.survivors)
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

/// One run of all programs along one schedule.
private final class KeyedWorld {
    /// A row's key, and how often it was written.
    private struct Row: Hashable {
        var key: Int
        var version = 0
    }

    private struct Writer {
        enum Stage: Int {
            case enters, opens, commits, closes
        }

        var transactions: [KeyedExplorer.Transaction]
        var stage = Stage.enters
        var entry: WindowRegistry.Entry?
        var window: RegisteredWindow?
    }

    private struct Reader {
        enum Stage: Int {
            case idle, keys, chooses, captures, runs, stores
        }

        var questions: [KeyedExplorer.Question]
        var stage = Stage.idle
        var arrival = 0
        var cells = CellSet([])
        var isKeyed = false
        var lease: FillLease?
        var contents: [Int] = []
    }

    private enum Thread {
        case writer(Writer)
        case reader(Reader)
    }

    private static let keys = 1...3
    private let registry: WindowRegistry
    private let fault: KeyedExplorer.Fault?
    private let cache = ReplyCache(
        limits: CacheLimits(memory: 1 << 20, maximumEntry: 1000), shardCount: 1)
    private let schema: VersionCell
    private let all: VersionCell
    private let wide: VersionCell
    private let keyCells: [VersionCell]
    private var columns: KeyedColumns?
    /// The threads whose windows were open when the column became keyed, and still are.
    private var older: Set<Int> = []
    private var history: [[Row]] = [[Row(key: 1), Row(key: 2)]]
    private var threads: [Thread]
    private var stored: [KeyedExplorer.Question: [Int]] = [:]
    private(set) var foundWrongAnswer = false
    private(set) var hits = 0
    private(set) var keyedFills = 0
    private(set) var fallbacks = 0
    private(set) var survivors = 0

    init(table: CellTable, programs: [KeyedExplorer.Program], fault: KeyedExplorer.Fault?) {
        registry = WindowRegistry(cells: table)
        self.fault = fault
        schema = table.cell(.schema(database: "d"))
        all = table.cell(.all(database: "d", relation: "r"))
        wide = table.cell(.wide(database: "d", relation: "r", columns: ["k"]))
        // As the columns that this world's registry makes will have them.
        let twin = WindowRegistry(cells: table).keyed(by: "k")
        keyCells = Self.keys.compactMap { twin?.cell(of: [$0]) }
        for cell in [schema, all, wide] + keyCells {
            cell.word.pointee.store(0, ordering: .sequentiallyConsistent)
        }
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
        case .reader(let reader): !reader.questions.isEmpty
        }
    }

    func step(_ index: Int) {
        switch threads[index] {
        case .writer(var writer):
            step(&writer, index)
            threads[index] = .writer(writer)
        case .reader(var reader):
            step(&reader)
            threads[index] = .reader(reader)
        }
    }

    /// Everything that what follows can depend on.
    var fingerprint: [Int] {
        var all = ([schema, all, wide] + keyCells).map { Int($0.current) }
        all += history.flatMap { $0.flatMap { [$0.key, $0.version] } } + [-1]
        all += [columns == nil ? 0 : 1, columns?.isReady == true ? 1 : 0] + older.sorted()
        for question in [.all] + Self.keys.map(KeyedExplorer.Question.key) {
            all += [-2] + (stored[question] ?? [])
        }
        for thread in threads {
            switch thread {
            case .writer(let writer):
                all += [-3, writer.transactions.count, writer.stage.rawValue]
                all += [writer.entry?.keyed.count ?? -1]
            case .reader(let reader):
                all += [-4, reader.questions.count, reader.stage.rawValue, reader.arrival]
                all += [reader.isKeyed ? 1 : 0, reader.lease.map { Int($0.sum) } ?? -1]
                all += reader.contents
            }
        }
        return all + [foundWrongAnswer ? 1 : 0]
    }

    // MARK: Writers

    private func pins(_ write: KeyedExplorer.Write) -> PinnedColumns {
        switch (write, fault) {
        case (.key(let key), _): PinnedColumns(columns: ["k": [key]])
        case (.row, .unpinnedMissing): PinnedColumns(columns: ["k": []])
        case (.row, _): .anyRow
        case (.move(let from, _), .newKeyMissing): PinnedColumns(columns: ["k": [from]])
        case (.move(_, let to), .oldKeyMissing): PinnedColumns(columns: ["k": [to]])
        case (.move(let from, let to), _): PinnedColumns(columns: ["k": [from, to]])
        }
    }

    private func apply(_ write: KeyedExplorer.Write) {
        var rows = history[history.count - 1]
        for index in rows.indices {
            switch write {
            case .key(let key) where rows[index].key == key: rows[index].version += 1
            case .row(index): rows[index].version += 1
            case .move(let from, let to) where rows[index].key == from:
                rows[index].key = to
                rows[index].version += 1
            case .key, .row, .move: break
            }
        }
        history.append(rows)
    }

    private func step(_ writer: inout Writer, _ index: Int) {
        let transaction = writer.transactions[0]
        let coverage = WriteCoverage.relations([(relation: "r", pins: pins(transaction.write))])
        switch writer.stage {
        case .enters:
            writer.entry = registry.enter(coverage, database: "d")
            writer.stage = .opens
        case .opens:
            guard let entry = writer.entry else { return }
            writer.window = registry.open(coverage, entry, catalogVersion: 0)
            writer.stage = transaction.commits ? .commits : .closes
        case .commits:
            apply(transaction.write)
            writer.stage = .closes
        case .closes:
            if let window = writer.window {
                registry.close(window, committed: transaction.commits)
            }
            older.remove(index)
            writer = Writer(transactions: Array(writer.transactions.dropFirst()))
        }
    }

    // MARK: Readers

    private func contents(_ question: KeyedExplorer.Question, _ rows: [Row]) -> [Int] {
        rows.enumerated().flatMap { index, row -> [Int] in
            switch question {
            case .key(let key) where row.key != key: []
            case .key, .all: [index, row.key, row.version]
            }
        }
    }

    private func answer(_ reader: inout Reader, with contents: [Int]) {
        let question = reader.questions.removeFirst()
        let isTrue = history[reader.arrival...].contains {
            self.contents(question, $0) == contents
        }
        if !isTrue { foundWrongAnswer = true }
        reader = Reader(questions: reader.questions)
    }

    private func step(_ reader: inout Reader) {
        let question = reader.questions[0]
        switch reader.stage {
        case .idle:
            reader.arrival = history.count - 1
            if let reply = cache.lookup("\(question)") {
                hits += 1
                if reply.cells.cells.allSatisfy({ $0 != all }), all.version > 0 { survivors += 1 }
                answer(&reader, with: reply.body.readableBytesView.map { Int($0) })
            } else {
                reader.stage = question == .all ? .chooses : .keys
            }
        case .keys:
            if columns == nil {
                columns = registry.keyed(by: "k")
                for (index, thread) in threads.enumerated() {
                    if case .writer(let writer) = thread, writer.entry != nil {
                        older.insert(index)
                    }
                }
            }
            reader.stage = .chooses
        case .chooses:
            if case .key(let key) = question, let columns, columns.isReady {
                reader.isKeyed = true
                reader.cells = CellSet([schema, columns.wide, columns.cell(of: [key])])
            } else {
                if question != .all { fallbacks += 1 }
                reader.cells = CellSet([schema, all])
            }
            reader.stage = .captures
        case .captures:
            reader.lease = reader.cells.capture()
            reader.stage = .runs
        case .runs:
            reader.contents = contents(question, history[history.count - 1])
            reader.stage = .stores
        case .stores:
            if let lease = reader.lease { store(reader, question, lease) }
            answer(&reader, with: reader.contents)
        }
    }

    private func store(_ reader: Reader, _ question: KeyedExplorer.Question, _ lease: FillLease) {
        let name = "\(question)"
        let outcome = withBytes(of: name) { bytes in
            cache.store(
                key: bytes, hash: ReplyCache.testHash(name), rowDescription: nil,
                body: ByteBuffer(bytes: reader.contents.map { UInt8($0) }), lease: lease,
                expiry: .max, now: 1)
        }
        guard let entry = outcome.stored else { return }
        if reader.isKeyed { keyedFills += 1 }
        stored[question] = reader.contents + [Int(entry.sum), reader.isKeyed ? 1 : 0]
    }
}
