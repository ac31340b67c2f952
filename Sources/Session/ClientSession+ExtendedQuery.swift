import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// One message of a reply that is put together from memory.
enum SegmentAnswer {
    case parseComplete
    case bindComplete
    case closeComplete
    case rowDescription(CachedReply)
    case body(CachedReply)
    /// Of transaction control that the upstream need not know.
    case noData
    case commandComplete(String)
    /// That the next answer is not certain.
    case uncertainty
}

extension ClientSession {
    /// Parse, Bind, Describe, Execute or Close.
    func extendedReceived(_ frame: MessageFrame) throws(PostgresError) {
        if openSegment != nil || !services.analyses {
            try forwardExtended(frame)
            return
        }
        collected.append(frame)
        collectedBytes += frame.bytes.readableBytes
        if collected.count >= Self.collectionCount || collectedBytes >= Self.collectionLimit {
            // Too long to wait for its Sync: forwarded as it comes.
            beginForwarding()
        }
    }

    func flushReceived(_ frame: MessageFrame) throws(PostgresError) {
        if !frame.isEmpty {
            guard openSegment != nil else {
                collected.append(frame)
                beginForwarding()
                return
            }
            try forwardUnreadable(frame)
            return
        }
        if openSegment == nil, services.analyses {
            guard !collected.isEmpty else { return }
            if try answerCollected(endedBy: frame) || wait != nil { return }
            collected.append(frame)
            beginForwarding()
            return
        }
        sendUpstream(frame.bytes)
    }

    /// Sync: the end of a segment.
    func syncReceived(_ frame: MessageFrame) throws(PostgresError) {
        if openSegment != nil {
            try forwardSync(frame)
            return
        }
        if collected.isEmpty, ledger.isEmpty, !transaction.isUncertain, frame.isEmpty {
            // Nothing is open: the answer is known.
            answerSync()
            return
        }
        if services.analyses, frame.isEmpty {
            if try answerCollected(endedBy: frame) {
                answerSync()
                return
            }
            // Waiting: the segment stays collected and is looked at again.
            if wait != nil { return }
        }
        collected.append(frame)
        beginForwarding()
    }

    private func answerSync() {
        // Portals live as long as their transaction.
        if transaction.visibleStatus == .idle { localPortal = nil }
        writeReady(transaction.visibleStatus)
    }

    /// From here on the collected messages are forwarded, in order, and then whatever follows up
    /// to the segment's Sync.
    private func beginForwarding() {
        openSegment = ForwardedSegment(
            isAbsorbed: false, startedIdle: transaction.isCertainlyIdle,
            startedAt: MonotonicClock.now)
        if let portal = localPortal {
            localPortal = nil
            absorbsNextBind = true
            replay.append(portal.bind)
        }
        replay.append(contentsOf: collected)
        collected.removeAll(keepingCapacity: true)
        collectedBytes = 0
    }

    /// Forwards what is collected, as a segment that a Query ends.
    func forwardCollected(then frame: MessageFrame) throws(PostgresError) {
        beginForwarding()
        replay.append(frame)
    }

    // MARK: From memory

    /// Answers all that is collected, or nothing of it (design §4, Segments). `end` is the Sync or
    /// Flush that asks for the answer: what was answered at a Flush were reads alone, so that what
    /// follows up to the Sync may be answered or forwarded by itself.
    ///
    /// Returns false where it must be forwarded, or where something is awaited first (`wait`).
    private func answerCollected(endedBy end: MessageFrame) throws(PostgresError) -> Bool {
        if canProbe, collected.contains(where: { $0.tag == FrontendTag.bind }) {
            try probeSettings(holding: end)
            return false
        }
        guard ledger.isEmpty else { return false }
        let start = MonotonicClock.now
        answerScratch.removeAll(keepingCapacity: true)
        var walk = SegmentWalk(transaction: transaction)
        if let localPortal {
            walk.isBound = true
            walk.boundReply = localPortal.reply
            walk.boundBy = localPortal.bind
        }
        for frame in collected {
            guard try step(frame, &walk, now: start) else { break }
        }
        // Asked for at a Flush, the answer may end with a portal that is yet to be executed.
        let endsBound = end.tag == FrontendTag.flush && walk.binds > 0 && walk.boundReply != nil
        if walk.isAnswered, walk.executions > 0 || endsBound {
            send(answerScratch)
            commit(walk)
            if walk.hits > 0 {
                services.metrics.cacheHits.add(walk.hits)
                services.metrics.hitLatency.record(nanoseconds: MonotonicClock.now - start)
            }
            return true
        }
        answerScratch.removeAll(keepingCapacity: true)
        return try shareFlight(of: walk, end: end)
    }

    /// What has been found out about a collected segment so far.
    struct SegmentWalk {
        /// The transaction as it will be if the segment is answered.
        var transaction: TransactionTracker
        var isAnswered = true
        /// Executions answered, and those of them that were read from the cache.
        var executions = 0
        var hits = 0
        /// Statements that the segment defines, by name; they are kept if it is answered.
        var defined: [PreparedStatement] = []
        var closed: [String] = []
        var boundReply: CachedReply?
        var boundCommand: (command: LazyCommand, text: String)?
        var isBound = false
        var boundBy: MessageFrame?
        /// The one Bind whose answer is not there, where it is the only one.
        var missing:
            (statement: PreparedStatement, key: ByteBuffer, hash: UInt64, bindTail: ByteBuffer)?
        var binds = 0
    }

    /// Looks at one message; false where the segment cannot be answered from memory.
    private func step(
        _ frame: MessageFrame, _ walk: inout SegmentWalk, now: UInt64
    ) throws(PostgresError) -> Bool {
        var body = frame.body
        switch frame.tag {
        case FrontendTag.parse:
            guard walk.closed.isEmpty, !walk.isBound,
                let statement = definedStatement(frame, walk)
            else {
                walk.isAnswered = false
                return false
            }
            walk.defined.append(statement)
            answerScratch.append(.parseComplete)
        case FrontendTag.bind:
            walk.binds += 1
            walk.boundReply = nil
            walk.boundCommand = nil
            guard walk.closed.isEmpty, body.skipEmptyText(), let name = body.readObjectName(),
                let statement = walk.defined.last(where: { $0.name == name }) ?? statements[name],
                statement.isCertainToExist
            else {
                walk.isAnswered = false
                return false
            }
            if let command = statement.lazyCommand {
                walk.isBound = true
                walk.boundCommand = (command, statement.query)
                answerScratch.append(.bindComplete)
                return true
            }
            guard bypassReason(in: walk.transaction) == nil,
                CacheKeyWriter.writeBound(
                    statement: statement, identity: identity, bindTail: body, into: &keyScratch)
            else {
                walk.isAnswered = false
                return false
            }
            let (hash, found) = keyScratch.withUnsafeReadableBytes { key in
                let hash = ReplyCache.hash(key)
                return (hash, services.cache.lookup(key, hash: hash, now: now))
            }
            var reply = found
            if let found, !mayServe(found) || verifies(found, text: statement.query) {
                reply = nil
            }
            if reply == nil, let uncertain = uncertainReply(now: now) {
                answerScratch.append(.uncertainty)
                reply = uncertain
            }
            walk.isBound = true
            walk.boundBy = frame
            walk.boundReply = reply
            if reply == nil {
                walk.isAnswered = false
                if walk.missing == nil { walk.missing = (statement, copyOfKey(), hash, body) }
            }
            answerScratch.append(.bindComplete)
        case FrontendTag.describe:
            // Only the unnamed portal's description is part of a stored reply.
            guard body.readInteger(as: UInt8.self) == UInt8(ascii: "P"), body.skipEmptyText(),
                body.readableBytes == 0
            else {
                walk.isAnswered = false
                return false
            }
            if walk.boundCommand != nil {
                answerScratch.append(.noData)
                return true
            }
            guard let reply = walk.boundReply, reply.rowDescription != nil
            else {
                walk.isAnswered = false
                return walk.missing != nil
            }
            answerScratch.append(.rowDescription(reply))
        case FrontendTag.execute:
            guard body.skipEmptyText(), body.readInteger(as: Int32.self) == 0, walk.isBound,
                body.readableBytes == 0
            else {
                walk.isAnswered = false
                return false
            }
            walk.executions += 1
            walk.isBound = false
            if let (command, text) = walk.boundCommand {
                walk.boundCommand = nil
                guard let tag = walk.transaction.answeredLazily(command, text: text) else {
                    walk.isAnswered = false
                    return false
                }
                answerScratch.append(.commandComplete(tag))
                return true
            }
            guard let reply = walk.boundReply else { return true }
            walk.boundReply = nil
            walk.hits += 1
            walk.transaction.answeredFromMemory()
            noteHit(reply)
            answerScratch.append(.body(reply))
        case FrontendTag.close:
            guard let kind = body.readInteger(as: UInt8.self), let name = body.readObjectName(),
                body.readableBytes == 0
            else {
                walk.isAnswered = false
                return false
            }
            if kind == UInt8(ascii: "S") {
                // One that the upstream knows by this name must be closed there too.
                guard !walk.isBound, statements[name]?.upstreamState != .prepared,
                    !pins.hasStatement(name)
                else {
                    walk.isAnswered = false
                    return false
                }
                walk.closed.append(name)
            } else if name.isEmpty {
                walk.isBound = false
                walk.boundReply = nil
                walk.boundCommand = nil
            } else {
                walk.isAnswered = false
                return false
            }
            answerScratch.append(.closeComplete)
        default:
            walk.isAnswered = false
            return false
        }
        return true
    }

    /// The statement that a Parse defines, without sending it anywhere; nil where the server has to
    /// judge it (a name in use, a malformed message).
    private func definedStatement(
        _ frame: MessageFrame, _ walk: SegmentWalk
    ) -> PreparedStatement? {
        if let unnamed = statements[""], unnamed.parseIdentity == parseIdentity,
            unnamed.parseMessage == frame.bytes
        {
            return unnamed
        }
        guard var message = try? ParseMessage(decoding: frame.body) else { return nil }
        var body = frame.body
        message.statement = body.readObjectName() ?? message.statement
        guard
            message.statement.isEmpty
                || (statements[message.statement] == nil
                    && statements.count + walk.defined.count < Self.statementLimit
                    && !walk.defined.contains { $0.name == message.statement })
        else { return nil }
        let statement = PreparedStatement(
            message, bytes: frame.bytes, identity: parseIdentity, upstreamState: .notPrepared)
        statement.parsed(in: self)
        return statement
    }

    private func send(_ answers: [SegmentAnswer]) {
        for answer in answers {
            switch answer {
            case .parseComplete: output.buffer.writeParseComplete()
            case .bindComplete: output.buffer.writeBindComplete()
            case .closeComplete: output.buffer.writeCloseComplete()
            case .rowDescription(let reply):
                if let description = reply.rowDescription { output.append(description) }
            case .body(let reply): output.append(reply.body)
            case .uncertainty: writeUncertaintyNotice()
            case .noData: output.buffer.writeNoData()
            case .commandComplete(let tag): output.buffer.writeCommandComplete(tag)
            }
        }
        answerScratch.removeAll(keepingCapacity: true)
    }

    /// Keeps what an answered segment has defined.
    private func commit(_ walk: SegmentWalk) {
        for statement in walk.defined where statements[statement.name] !== statement {
            statements[statement.name] = statement
        }
        for name in walk.closed {
            statements[name] = nil
            if name.isEmpty { serverKeepsUnnamed = true }
        }
        collected.removeAll(keepingCapacity: true)
        collectedBytes = 0
        hasWaitedForFlight = false
        transaction = walk.transaction
        localPortal = nil
        if walk.isBound, let reply = walk.boundReply, let bind = walk.boundBy {
            localPortal = LocalPortal(bind: bind, reply: reply)
        }
    }

    /// For a segment with exactly one execution, which misses: waits for another session that is
    /// executing the same, or becomes the one that others wait for.
    private func shareFlight(
        of walk: SegmentWalk, end: MessageFrame
    ) throws(PostgresError) -> Bool {
        guard bypassReason == nil, walk.binds == 1, let missing = walk.missing,
            leadingFlight == nil, verification == nil
        else { return false }
        guard try updateProfile(of: missing.statement, holding: end),
            let profile = missing.statement.profile
        else { return false }
        if noteSettingsRead(by: profile) { return try answerCollected(endedBy: end) }
        if needsProbe(before: profile) {
            try probeSettings(holding: end)
            return false
        }
        guard
            case .fill(let lease, _) = fillDecision(
                for: profile, text: missing.statement.query, bindTail: missing.bindTail)
        else { return false }
        keyScratch = missing.key
        switch joinFlight(lease: lease, hash: missing.hash, holding: end) {
        case .waits: return false
        case .runs(let flight):
            leadingFlight = flight
            return false
        }
    }
}

extension ByteBuffer {
    /// Skips a zero-terminated string if it is the empty one; false (nothing skipped) otherwise.
    mutating func skipEmptyText() -> Bool {
        guard getInteger(at: readerIndex, as: UInt8.self) == 0 else { return false }
        moveReaderIndex(forwardBy: 1)
        return true
    }

    /// The name of a statement or portal, in a form in which names are equal only if their bytes
    /// are: texts would be if they are canonically equivalent. nil where there is none.
    mutating func readObjectName() -> String? {
        guard let end = readableBytesView.firstIndex(of: 0) else { return nil }
        if readableBytesView[..<end].allSatisfy({ $0 < 0x80 }) { return readName() }
        // No name has a zero in it.
        let bytes = readableBytesView[..<end].map { String($0, radix: 16) }
        moveReaderIndex(to: end + 1)
        return "\0" + bytes.joined(separator: ".")
    }

    /// A zero-terminated string; nil where there is none.
    mutating func readName() -> String? {
        guard let end = readableBytesView.firstIndex(of: 0) else { return nil }
        let name = readString(length: end - readerIndex)
        moveReaderIndex(forwardBy: 1)
        return name
    }
}
