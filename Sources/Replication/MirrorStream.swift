import Mutants
import NIOCore
import ResultCache

/// What one follower is sent, in order: the windows that are open, then records as they come, and in
/// between what has been in the cache before. Confined to one event loop.
struct MirrorStream {
    private let source: MirrorSource
    private var reader: MirrorLog.Reader
    private let wake: @Sendable () -> Void
    /// How many names of cells have been sent.
    private var namedCells = 0
    private var namedIdentities: Set<UInt64> = []
    private var shard = 0
    /// Of the shard before `shard`, the most valuable last.
    private var candidates: [CachedReply] = []
    private var hasBegun = false
    private var hasSentEntries = false
    /// Heartbeats that are answered when the stream has come to a place.
    private var questions: [(number: UInt64, index: UInt64, age: UInt64)] = []
    private(set) var entriesSent: UInt64 = 0
    private(set) var recordsSent: UInt64 = 0
    /// How often the follower had to begin anew because it was too slow.
    private(set) var gaps: UInt64 = 0
    /// The log is another one now: there is nothing more to come.
    private(set) var isOver = false

    private static let recordsAtOnce = 128 << 10
    private static let entriesAtOnce = 32
    private static let entryBytesAtOnce = 256 << 10
    /// Bytes of the largest reply that the follower keeps.
    private let maximumEntry: Int
    private static let maximumQuestions = 64
    /// Older than any lease is long.
    private static let noProof = UInt64.max

    init(_ source: MirrorSource, maximumEntry: Int, wake: @escaping @Sendable () -> Void) {
        self.source = source
        self.maximumEntry = maximumEntry
        self.wake = wake
        reader = source.log.reader(wake)
    }

    /// To be called once, when nobody reads it any more.
    func end() { source.log.end(reader) }

    /// The place that it has come to.
    var position: MirrorLog.Position { reader.position }

    /// A heartbeat has come, and `grant` gives a lease for its answer: at an instant at which nothing
    /// is appended. `now` is nanoseconds of the monotonic clock. Returns whether it will be answered
    /// with a proof. Where there is none to give, the answer says no more than that this node is there.
    @discardableResult
    mutating func asked(_ number: UInt64, now: UInt64, lease: UInt64, grant: () -> Void) -> Bool {
        guard questions.count < Self.maximumQuestions, source.notice() else { return false }
        var age: UInt64 = 0
        if source.right.isFollowing {
            // What this node knows is itself as old as its own last proof.
            let deadline = source.right.deadline
            guard deadline > now, deadline <= now + lease else {
                questions.append((number, reader.position.index, Self.noProof))
                return false
            }
            age = Mutant.ageIgnored.isActive ? 0 : lease - (deadline - now)
        } else if source.right.deadline <= now, !Mutant.leaseBeyondTerm.isActive {
            // It may not lead any more.
            questions.append((number, reader.position.index, Self.noProof))
            return false
        }
        let epoch = reader.position.epoch
        let index: UInt64? = source.log.atInstant { position in
            // A lease that is not told of would hold up commits all the same.
            guard position.epoch == epoch else { return nil }
            grant()
            return position.index
        }
        guard let index else { return false }
        questions.append((number, index, age))
        return true
    }

    /// The next messages; nil where there is nothing to send now. `now` is nanoseconds of the
    /// monotonic clock.
    mutating func next(now: UInt64) -> ByteBuffer? {
        guard !isOver else { return nil }
        var payload = ByteBuffer()
        if !hasBegun { begin(&payload) }
        var goesOn = true
        while goesOn, payload.readableBytes == 0 {
            goesOn = step(now: now, &payload)
        }
        // Whoever asks while nothing else happens.
        if payload.readableBytes == 0 { answer(to: &payload) }
        return payload.readableBytes > 0 ? payload : nil
    }

    /// Takes what comes next from the log, and from the cache. Returns whether there may be more.
    private mutating func step(now: UInt64, _ payload: inout ByteBuffer) -> Bool {
        if candidates.isEmpty, !hasSentEntries { lookForEntries() }
        let offered = nextCandidates()
        switch source.log.next(&reader, limit: Self.recordsAtOnce, candidates: offered) {
        case .gap:
            restart(&payload)
            return false
        case .records(let records, let current, let isWhole):
            var messages = ByteBuffer()
            for record in records { write(record, now: now, to: &messages, naming: &payload) }
            recordsSent += UInt64(records.count)
            if isWhole, !offered.isEmpty {
                candidates.removeLast(offered.count)
                for reply in current.reversed() {
                    guard let record = self.record(of: reply, now: now),
                        name(record.identities, in: &payload)
                    else { continue }
                    MirrorMessage.entry(record).write(to: &messages)
                    entriesSent += 1
                }
            }
            if isWhole, candidates.isEmpty, shard == source.cache.shardCount, !hasSentEntries {
                hasSentEntries = true
                MirrorMessage.entriesEnd.write(to: &messages)
            }
            answer(to: &messages)
            nameCells(in: &payload)
            payload.writeImmutableBuffer(messages)
            return !isWhole || !hasSentEntries
        }
    }

    private mutating func restart(_ payload: inout ByteBuffer) {
        gaps += 1
        let epoch = reader.position.epoch
        source.log.end(reader)
        reader = source.log.reader(wake)
        // What was acknowledged and granted in one epoch means nothing in another.
        isOver = reader.position.epoch != epoch
        if !isOver { begin(&payload) }
    }

    private mutating func answer(to messages: inout ByteBuffer) {
        while let question = questions.first, question.index <= reader.position.index {
            questions.removeFirst()
            MirrorMessage.answer(question.number, age: question.age).write(to: &messages)
        }
    }

    private mutating func begin(_ payload: inout ByteBuffer) {
        hasBegun = true
        hasSentEntries = false
        shard = 0
        candidates = []
        questions = []
        let open = reader.open.map { window, cells in
            (window: window, cells: source.cells.references(of: cells))
        }
        nameCells(in: &payload)
        MirrorMessage.begin(reader.position, open: open).write(to: &payload)
    }

    private func record(of reply: CachedReply, now: UInt64) -> ReplyRecord? {
        guard reply.readableBytes <= maximumEntry else { return nil }
        return ReplyRecord(reply, cells: source.cells, now: now)
    }

    /// The last few of the candidates: as many as make a frame, but one.
    private func nextCandidates() -> [CachedReply] {
        var bytes = 0
        var count = 0
        while count < min(candidates.count, Self.entriesAtOnce),
            count == 0 || bytes < Self.entryBytesAtOnce
        {
            bytes += candidates[candidates.count - 1 - count].readableBytes
            count += 1
        }
        return Array(candidates.suffix(count))
    }

    private mutating func lookForEntries() {
        while candidates.isEmpty, shard < source.cache.shardCount {
            candidates = source.cache.entries(ofShard: shard).reversed()
            shard += 1
        }
    }

    private mutating func write(
        _ record: MirrorLog.Record, now: UInt64, to messages: inout ByteBuffer,
        naming payload: inout ByteBuffer
    ) {
        switch record {
        case .opened(let window, let cells):
            MirrorMessage.opened(window: window, cells: source.cells.references(of: cells))
                .write(to: &messages)
        case .closed(let window, let committed):
            MirrorMessage.closed(window: window, committed: committed).write(to: &messages)
        case .stored(let reply):
            guard let record = self.record(of: reply, now: now),
                name(record.identities, in: &payload)
            else {
                MirrorMessage.nothing.write(to: &messages)
                return
            }
            MirrorMessage.stored(record).write(to: &messages)
        }
    }

    /// Tells who is meant by the numbers in a key; false where that is not known any more.
    private mutating func name(
        _ identities: (now: UInt64, atParse: UInt64), in payload: inout ByteBuffer
    ) -> Bool {
        for number in [identities.now, identities.atParse] where !namedIdentities.contains(number) {
            guard let who = source.identities.components(of: SessionIdentity(number: number)),
                who.isPortable
            else { return false }
            namedIdentities.insert(number)
            MirrorMessage.identity(number, who).write(to: &payload)
        }
        return true
    }

    /// Names the cells that have been made since the last time: before anything mentions them.
    private mutating func nameCells(in payload: inout ByteBuffer) {
        let names = source.cells.names(from: namedCells)
        guard !names.isEmpty else { return }
        MirrorMessage.cells(from: UInt32(namedCells), Array(names)).write(to: &payload)
        namedCells += names.count
    }
}
