import DequeModule
import Mutants
import Synchronization

/// What happens to a cache, in the order in which it may be believed, for others that mirror it.
///
/// A mirror that applies a prefix of the log never holds an answer that was not good at the end of
/// that prefix, because of the order in which things are done here:
///
/// - A window's cells are opened, then its record is appended, then the write is sent. It is appended
///   as closed before its cells are closed.
/// - A stored answer is appended only if, under the log's lock, none of its cells has moved. What
///   opens later is appended later; what was open before would have shown.
///
/// A node that follows another appends what it has applied itself, under the same numbers, for those
/// that follow it; what its own sessions do is then no part of the log.
///
/// Thread-safe. Holds records only while somebody follows, `capacity` bytes of them at most: whoever
/// falls further behind begins anew.
package final class MirrorLog: Sendable {
    package enum Record: Sendable {
        /// A write may become visible from here on: `window` names it until it is closed.
        case opened(window: UInt64, CellSet)
        case closed(window: UInt64, committed: Bool)
        case stored(CachedReply)
    }

    /// A place in a log. Numbers of different epochs cannot be compared.
    package struct Position: Hashable, Sendable {
        package var epoch: UInt64
        package var index: UInt64

        /// The startup parameter with which a mirror's connection asks to be told, before each
        /// ReadyForQuery, how far the log goes; and the name of the ParameterStatus that tells.
        package static let parameter = "mynah.position"

        package init(epoch: UInt64, index: UInt64) {
            self.epoch = epoch
            self.index = index
        }
    }

    private struct State {
        var epoch: UInt64
        var isFollowing = false
        /// Of the last record.
        var index: UInt64 = 0
        /// Of the last record of a write.
        var lastWrite: UInt64 = 0
        /// Of the last record before it followed another: sessions may still wait until followers
        /// know of it.
        var formerIndex: UInt64 = 0
        /// The last of them has the number `index`.
        var records: Deque<Record> = []
        var bytes = 0
        var open: [UInt64: CellSet] = [:]
        var lastWindow: UInt64 = 0
        /// Grows whenever what was appended so far is no longer to be gone on with.
        var generation: UInt64 = 0
        var readers: [UInt64: @Sendable () -> Void] = [:]
        var lastReader: UInt64 = 0
        /// Entries that were sent again of late. (One that is gone leaves its place to another.)
        var repeated: Set<ObjectIdentifier> = []
    }

    private let state: Mutex<State>
    private let capacity: Int
    private let hasReaders = Atomic(false)
    /// Who has been promised not to be behind a commit, and how far they are.
    package let followers: FollowerTable

    /// - Parameters:
    ///   - capacity: bytes of records, as they are in the cache.
    ///   - epoch: unlike that of any other log that somebody may compare this one's numbers with.
    package init(capacity: Int, epoch: UInt64, followers: FollowerTable) {
        self.capacity = capacity
        self.followers = followers
        state = Mutex(State(epoch: epoch))
    }

    /// The last record.
    package var position: Position {
        state.withLock { Position(epoch: $0.epoch, index: $0.index) }
    }

    /// The last record of a write: what a reader has to have applied to have seen all that was
    /// committed up to now.
    package var lastWrite: Position {
        state.withLock { Position(epoch: $0.epoch, index: $0.lastWrite) }
    }

    /// Bytes that are held for those who have not read them.
    package var heldBytes: Int { state.withLock { $0.bytes } }

    /// Windows that are open according to the log.
    package var openWindows: Int { state.withLock { $0.open.count } }
}

// MARK: - What the cache of this node tells

extension MirrorLog {
    /// A window's cells have been opened. Returns what to give to `closed` (0: nothing is to be told)
    /// and the number of the record.
    func opened(_ cells: CellSet) -> (window: UInt64, index: UInt64) {
        let (window, index, wake) = state.withLock { state in
            guard !state.isFollowing else { return (UInt64(0), UInt64(0), [@Sendable () -> Void]()) }
            state.lastWindow += 1
            let window = state.lastWindow
            state.open[window] = cells
            state.lastWrite = state.index + 1
            let wake = append(.opened(window: window, cells), to: &state)
            return (window, state.index, wake)
        }
        for waker in wake { waker() }
        return (window, index)
    }

    /// A window is about to be closed.
    func closed(window: UInt64, committed: Bool) {
        guard window != 0 else { return }
        let wake = state.withLock { state in
            // Windows of the time before it followed another are none of that one's.
            guard !state.isFollowing, state.open.removeValue(forKey: window) != nil else {
                return [@Sendable () -> Void]()
            }
            state.lastWrite = state.index + 1
            return append(.closed(window: window, committed: committed), to: &state)
        }
        for waker in wake { waker() }
    }

    /// An answer has been stored.
    package func stored(_ reply: CachedReply) {
        // Whoever begins to read later looks through the cache afterwards.
        guard hasReaders.load(ordering: .sequentiallyConsistent) else { return }
        let wake = state.withLock { state in
            guard !state.isFollowing,
                reply.isCurrent || Mutant.storedWithoutCheckUnderLock.isActive
            else { return [@Sendable () -> Void]() }
            return append(.stored(reply), to: &state)
        }
        for waker in wake { waker() }
    }

    /// A follower has asked for an answer that is in memory here: it is sent again. But not again and
    /// again: who asks for it need not be one that lacks it.
    package func wanted(_ reply: CachedReply) {
        let isNews = state.withLock { state in
            if state.repeated.count >= Self.maximumRepeated { state.repeated.removeAll() }
            return state.repeated.insert(ObjectIdentifier(reply)).inserted
        }
        if isNews { stored(reply) }
    }

    private static let maximumRepeated = 4096

    private func append(_ record: Record, to state: inout State) -> [@Sendable () -> Void] {
        state.index += 1
        guard !state.readers.isEmpty else { return [] }
        state.records.append(record)
        state.bytes += record.cost
        while state.bytes > capacity, let oldest = state.records.popFirst() {
            state.bytes -= oldest.cost
        }
        return Array(state.readers.values)
    }
}

// MARK: - What a follower has applied

extension MirrorLog {
    /// This node follows another from now on: its log goes on behind `position`, with these windows
    /// open.
    package func follow(from position: Position, open: [UInt64: CellSet]) {
        let wake = state.withLock { state in
            state.isFollowing = true
            state.formerIndex = max(state.formerIndex, state.index)
            state.epoch = position.epoch
            state.index = position.index
            state.lastWrite = position.index
            state.open = open
            return cut(&state)
        }
        for waker in wake { waker() }
    }

    /// Appends what the follower has applied; nil for a record that had no effect here, but has a
    /// number all the same.
    package func applied(_ record: Record?) {
        let wake = state.withLock { state in
            switch record {
            case .opened(let window, let cells):
                state.open[window] = cells
                state.lastWrite = state.index + 1
            case .closed(let window, _):
                state.open[window] = nil
                state.lastWrite = state.index + 1
            case .stored, nil: break
            }
            return append(record ?? .closed(window: 0, committed: false), to: &state)
        }
        for waker in wake { waker() }
    }

    /// This node follows no other any more: what its sessions do is the log, under a new epoch, whose
    /// numbers begin behind all that this node has given before: who begins to follow knows of those.
    /// Returns how many windows were open: what they cover must have been dropped.
    @discardableResult
    package func lead(epoch: UInt64) -> Int {
        let (count, wake) = state.withLock { state in
            let count = state.open.count
            state.isFollowing = false
            state.epoch = epoch
            state.index = max(state.index, state.formerIndex)
            state.open = [:]
            return (count, cut(&state))
        }
        for waker in wake { waker() }
        return count
    }

    private func cut(_ state: inout State) -> [@Sendable () -> Void] {
        state.records.removeAll()
        state.bytes = 0
        state.generation += 1
        return Array(state.readers.values)
    }
}

// MARK: - Reading

extension MirrorLog {
    /// Reads the log on behalf of one follower. Not thread-safe: for one event loop.
    package struct Reader {
        fileprivate let id: UInt64
        fileprivate let generation: UInt64
        /// Of the last record read.
        package fileprivate(set) var position: Position
        /// Windows that were open when it began.
        package let open: [UInt64: CellSet]
    }

    package enum Batch {
        /// What comes next, and those of the candidates that are good at the end of it; the rest are
        /// to be offered again (`isWhole` false), or are gone.
        case records([Record], current: [CachedReply], isWhole: Bool)
        /// More has been appended than is held: begin anew.
        case gap
    }

    /// Begins to read behind the last record. `wake` is called, on any thread, whenever there may be
    /// more to read.
    package func reader(_ wake: @escaping @Sendable () -> Void) -> Reader {
        state.withLock { state in
            state.lastReader += 1
            state.readers[state.lastReader] = wake
            hasReaders.store(true, ordering: .sequentiallyConsistent)
            return Reader(
                id: state.lastReader, generation: state.generation,
                position: Position(epoch: state.epoch, index: state.index), open: state.open)
        }
    }

    package func end(_ reader: Reader) {
        state.withLock { state in
            state.readers[reader.id] = nil
            guard state.readers.isEmpty else { return }
            hasReaders.store(false, ordering: .sequentiallyConsistent)
            state.records.removeAll()
            state.bytes = 0
        }
    }

    /// The next records, at most `limit` bytes of them or one, and, once there are no more, the
    /// candidates from the cache that may be sent behind them.
    package func next(
        _ reader: inout Reader, limit: Int, candidates: [CachedReply] = []
    ) -> Batch {
        state.withLock { state in
            guard reader.generation == state.generation,
                state.index - reader.position.index <= UInt64(state.records.count)
            else { return .gap }
            var found: [Record] = []
            var bytes = 0
            var next = state.records.count - Int(state.index - reader.position.index)
            while next < state.records.count, bytes < limit {
                found.append(state.records[next])
                bytes += state.records[next].cost
                next += 1
            }
            reader.position.index += UInt64(found.count)
            let isWhole = next == state.records.count
            guard isWhole else { return .records(found, current: [], isWhole: false) }
            let current = candidates.filter {
                $0.isCurrent || Mutant.entriesWithoutCheckUnderLock.isActive
            }
            return .records(found, current: current, isWhole: true)
        }
    }

    /// Runs `body` at an instant at which nothing is appended, with the number of the last record.
    package func atInstant<Result>(_ body: (Position) -> Result) -> Result {
        state.withLock { body(Position(epoch: $0.epoch, index: $0.index)) }
    }
}

extension MirrorLog.Record {
    /// Bytes that holding it costs.
    fileprivate var cost: Int {
        switch self {
        case .opened(_, let cells): 64 + cells.count * 8
        case .closed: 32
        case .stored(let reply): 32 + reply.cost
        }
    }
}

extension MirrorLog.Position {
    package var text: String { "\(epoch):\(index)" }

    /// nil where it is none.
    package init?(text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let epoch = UInt64(parts[0]), let index = UInt64(parts[1]) else {
            return nil
        }
        self.init(epoch: epoch, index: index)
    }
}
