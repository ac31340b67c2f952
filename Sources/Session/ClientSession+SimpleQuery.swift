import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// A Query that waits for a connection.
struct DeferredQuery {
    let profile: QueryProfile?
    let capture: ReplyCapture?
}

extension ClientSession {
    /// Query: one or more statements as text.
    func queryReceived(_ frame: MessageFrame) throws(PostgresError) {
        if !collected.isEmpty {
            // Extended messages without a Sync before a Query: legal, if odd. They go first.
            try forwardCollected(then: frame)
            return
        }
        if let deferred = deferredQuery {
            // It has been decided on, and waited for a connection since.
            deferredQuery = nil
            try sendQuery(frame, profile: deferred.profile, capture: deferred.capture)
            return
        }
        if openSegment != nil { distrustOpenSegment() }
        guard let query = Self.queryText(frame) else {
            // The server says what is wrong with it; it runs nothing.
            try sendQuery(frame, profile: nil, capture: nil)
            return
        }
        if ledger.isEmpty, openSegment == nil, let command = LazyCommand(query),
            answerLazily(command, text: query)
        {
            return
        }
        if ledger.isEmpty, openSegment == nil, bypassReason == nil, answerFromMemory(query) {
            return
        }
        try forwardQuery(frame, query)
    }

    /// The text of a Query message, without its terminating zero; nil where there is not exactly
    /// one text in it.
    private static func queryText(_ frame: MessageFrame) -> ByteBufferView? {
        let view = frame.body.readableBytesView
        guard view.last == 0, view.firstIndex(of: 0) == view.endIndex - 1 else { return nil }
        return view.dropLast()
    }

    private func answerFromMemory(_ query: ByteBufferView) -> Bool {
        let start = MonotonicClock.now
        CacheKeyWriter.writeSimple(
            query: query, identity: identity, parseIdentity: parseIdentity, into: &keyScratch)
        var reply = keyScratch.withUnsafeReadableBytes { key in
            services.cache.lookup(key, hash: ReplyCache.hash(key), now: start)
        }
        if let found = reply, !mayServe(found) { reply = nil }
        if reply == nil, let uncertain = uncertainReply(now: start),
            uncertain.rowDescription != nil
        {
            writeUncertaintyNotice()
            reply = uncertain
        }
        guard let reply, reply.rowDescription != nil,
            !verifies(reply, text: String(decoding: query, as: UTF8.self))
        else { return false }
        output.append(reply.rowDescriptionAndBody)
        transaction.answeredFromMemory()
        noteHit(reply)
        writeReady(transaction.visibleStatus)
        dropUnnamed()
        serverKeepsUnnamed = true
        hasWaitedForFlight = false
        services.metrics.cacheHits.increment()
        services.metrics.hitLatency.record(nanoseconds: MonotonicClock.now - start)
        return true
    }

    /// A simple Query destroys the unnamed statement and portal.
    private func dropUnnamed() {
        if !statements.isEmpty { statements[""] = nil }
        boundCapture = nil
        localPortal = nil
    }

    // MARK: Lazy transaction blocks

    /// Answers transaction control of which the upstream need not know; false where it must.
    private func answerLazily(_ command: LazyCommand, text: ByteBufferView) -> Bool {
        guard services.analyses,
            let tag = transaction.answeredLazily(
                command, text: String(decoding: text, as: UTF8.self))
        else { return false }
        output.buffer.writeCommandComplete(tag)
        dropUnnamed()
        serverKeepsUnnamed = true
        writeReady(transaction.visibleStatus)
        return true
    }

    // MARK: Forwarding

    private func forwardQuery(
        _ frame: MessageFrame, _ query: ByteBufferView
    ) throws(PostgresError) {
        if let statement = ExplainCommand.statement(in: query), services.upstream.analysesStatements {
            guard let explained = try explaining(query: statement, holding: frame) else { return }
            try queryReceived(explained)
            return
        }
        guard services.analyses else {
            try sendQuery(frame, profile: nil, capture: nil)
            return
        }
        guard let text = analysable(query) else {
            services.metrics.bypass(.unparsed)
            try sendQuery(frame, profile: unparsedProfile, capture: nil)
            return
        }
        guard let profile = profile(of: text, parameterTypes: [], holding: frame) else { return }
        if noteSettingsRead(by: profile), ledger.isEmpty, openSegment == nil, bypassReason == nil,
            answerFromMemory(query)
        {
            return
        }
        if needsProbe(before: profile) {
            try probeSettings(holding: frame)
            return
        }
        switch fillDecision(for: profile, text: text) {
        case .bypass(let reason):
            if let reason { services.metrics.bypass(reason) }
            try sendQuery(frame, profile: profile, capture: nil)
        case .fill(let lease, let timeToLive):
            CacheKeyWriter.writeSimple(
                query: query, identity: identity, parseIdentity: parseIdentity, into: &keyScratch)
            let hash = keyScratch.withUnsafeReadableBytes(ReplyCache.hash)
            let verification = takeVerification(key: keyScratch, hash: hash)
            // What is to be compared is this session's own execution.
            let flight =
                verification == nil
                ? joinFlight(lease: lease, hash: hash, holding: frame) : .runs(nil)
            switch flight {
            case .waits:
                return
            case .runs(let flight):
                services.metrics.cacheMisses.increment()
                let capture = ReplyCapture(
                    key: copyOfKey(), hash: hash, lease: lease, timeToLive: timeToLive,
                    limit: services.entryLimit, flight: flight, verification: verification)
                try sendQuery(frame, profile: profile, capture: capture)
            }
        }
    }

    private func sendQuery(
        _ frame: MessageFrame, profile: QueryProfile?, capture: ReplyCapture?
    ) throws(PostgresError) {
        guard try linkIsAttached(holding: frame) else {
            deferredQuery = DeferredQuery(profile: profile, capture: capture)
            return
        }
        hasWaitedForFlight = false
        verification = nil
        let statements = profile?.statements ?? []
        try attachLink(before: statements)
        let segment = ForwardedSegment(
            isAbsorbed: false, startedIdle: transaction.isCertainlyIdle,
            startedAt: MonotonicClock.now)
        for statement in statements { segment.append(statement) }
        if let profile { try openWindows(for: statements, profile: profile, in: segment) }
        if segment.changesParseContext, !sharesLinks || pinsStatements(segment) {
            try prepareAll(endingEachWithSync: true)
        }
        prepareNamesInSQL(statements, endingEachWithSync: true)
        if mentionsDeallocation(frame, statements) {
            let text = String(decoding: frame.body.readableBytesView.dropLast(), as: UTF8.self)
            try deallocate(by: text, endingEachWithSync: true)
        }
        noteSent(segment)
        segment.destroyedStatement = self.statements[""]
        dropUnnamed()
        serverKeepsUnnamed = false
        if !ledger.owe(.query(segment, capture)) {
            capture?.abandon(.replyNotStorable)
            release(segment)
        }
        services.metrics.upstreamQueries.increment()
        sendUpstream(frame.bytes)
    }
}
