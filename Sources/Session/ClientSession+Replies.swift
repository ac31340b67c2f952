import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

extension ClientSession: UpstreamLinkDelegate {
    package func upstreamReady(_ greeting: UpstreamGreeting) {
        // A connection from a pool comes with `lent`.
        guard !isClosed, pooling == nil else { return }
        linkIsReady = true
        linkKey = greeting.backendKey
        services.metrics.upstreamConnections.increment()
        do {
            try take(greeting)
        } catch {
            fail(error)
            return
        }
        flushUpstream()
        if wait == .upstream, pendingProbe == nil { resume(waitNumber) }
    }

    /// The session was greeted with what an earlier connection was told: what has changed since
    /// is passed on, as a server does when a setting changes. Nothing has been sent yet: what is
    /// about to be was judged with the settings of old.
    func take(_ greeting: UpstreamGreeting) throws(PostgresError) {
        if pooling == nil, settings.forgetCustom() {
            abandonCaptures()
            refreshIdentity()
        }
        let fresh = Self.settings(of: greeting)
        guard fresh != settings.login else { return }
        abandonCaptures()
        portals.removeAll()
        for statement in statements.values { statement.isFaithful = false }
        transaction.distrustWrites()
        for segment in windows.segments {
            try openWindow(over: .everything, catalogVersion: 0, in: segment)
        }
        for status in greeting.parameterStatuses {
            let name = "reported " + status.name.lowercased()
            if let known = settings.login[name], known != status.value {
                output.buffer.writeParameterStatus(status.name, status.value)
            }
        }
        settings.reconnected(login: services.identities.shared(fresh))
        for (name, value) in settingsReplay.committed.values where pooling != nil {
            guard case .text(let text) = value else { continue }
            settings.confirmed(.set(name: name, value: text))
        }
        if pooling != nil { settings.transactionEnded(committed: true) }
        refreshIdentity()
        output.flush()
    }

    /// Nothing that is on its way is stored.
    func abandonCaptures() {
        ledger.abandonCaptures()
        // Decided anew when its frame is looked at again.
        deferredQuery?.capture?.abandon(.replyNotStorable)
        deferredQuery = nil
        boundCapture?.abandon(.replyNotStorable)
        boundCapture = nil
    }

    package func upstreamWritabilityChanged(_ isWritable: Bool) {
        guard !isClosed else { return }
        if !isWritable, wait == nil {
            _ = suspend(.upstream, holding: heldFrame)
            setReadingForUpstream(false)
        } else if isWritable, wait == .upstream, pendingProbe == nil, pendingLink == nil {
            setReadingForUpstream(true)
            resume(waitNumber)
        }
    }

    private func setReadingForUpstream(_ reads: Bool) {
        isReadingPaused = !reads
        output.setReading(reads)
    }

    package func upstreamReceived(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        isForwardingReplies = true
        do {
            try forwardReplies(bytes)
        } catch {
            isForwardingReplies = false
            fail(error)
            return
        }
        isForwardingReplies = false
        output.flush()
        endIfTerminated()
        resumeAfterParse()
        if !isProcessing { endIfDrained() }
        if wait == nil, input.readableBytes > 0 || heldFrame != nil { process() }
        if pooledLink != nil { releaseLinkIfIdle() }
    }

    /// Passes replies on in as few pieces as possible: everything between two swallowed messages is
    /// one slice.
    private func forwardReplies(_ chunk: ByteBuffer) throws(PostgresError) {
        var cursor = chunk.readerIndex
        var runStart = cursor
        while let piece = try scanner.next(in: chunk, cursor: &cursor) {
            if piece.startsMessage { try messageBegan(piece.tag) }
            if absorbsPiece {
                passOn(chunk, runStart..<piece.range.lowerBound)
                runStart = piece.range.upperBound
            }
            keep(piece, of: chunk)
            if piece.endsMessage {
                try messageEnded(piece, in: chunk)
                if isClosed { return }
                if ledger.owesOwnAnswer {
                    passOn(chunk, runStart..<piece.range.upperBound)
                    runStart = piece.range.upperBound
                    writeOwnAnswers()
                }
            }
        }
        passOn(chunk, runStart..<chunk.writerIndex)
    }

    private func passOn(_ chunk: ByteBuffer, _ range: Range<Int>) {
        guard !range.isEmpty, let slice = chunk.getSlice(at: range.lowerBound, length: range.count)
        else { return }
        output.append(slice)
    }

    private func messageBegan(_ tag: UInt8) throws(PostgresError) {
        // What is not an answer to the proxy's own message is for the client all the same.
        absorbsPiece =
            tag == BackendTag.notificationResponse
            ? sharesLinks
            : ledger.absorbsCurrent && (tag != BackendTag.parameterStatus || isReplayingSilently)
        captureOfPiece = nil
        if tag == BackendTag.parameterStatus,
            services.right.isFollowing || pooledLink?.mirrorPosition != nil
        {
            mirroring.holdsStatus = !absorbsPiece
            absorbsPiece = true
        }
        if tag == BackendTag.readyForQuery {
            if mirroring.tellsPosition, !absorbsPiece {
                mirroring.holdsReady = true
                absorbsPiece = true
            }
            // The ledger is told when it is whole: a link that is lost in the middle of it leaves
            // its segment outstanding.
            pieceMeaning = .part
            return
        }
        let isOwnSegment = ledger.currentSegment?.isAbsorbed ?? false
        pieceMeaning = ledger.received(tag)
        switch pieceMeaning {
        case .asynchronous:
            // A reply with a notice in it is not stored: the notice is not part of the answer.
            // It may have come while the portal was bound, or belong to one of those that follow.
            if tag == BackendTag.noticeResponse { abandonCaptures() }
        case .rowDescription(let capture):
            captureOfPiece = capture
            pieceIsRowDescription = true
            capture?.descriptionBegan()
        case .dataRow(let capture), .statementCompleted(let capture):
            captureOfPiece = capture
            pieceIsRowDescription = false
        case .failed(let undone):
            absorbsPiece = isOwnSegment
            for segment in ledger.takeSkipped().reversed() { release(segment) }
            for statement in undone.reversed() { undo(statement) }
            restoreShared(
                unprepared: ledger.takeUnprepared(), unclosed: ledger.takeUnclosed(),
                unmade: ledger.takeUnmade())
            for statement in ledger.takeKept() where statements[statement.name] == nil {
                statements[statement.name] = statement
            }
            // Of the portals bound after the error nothing came: none is trusted any more.
            portals.removeAll()
            if ledger.isSkippingToSync { openSegment?.failed() }
            boundCapture?.abandon(.replyNotStorable)
            boundCapture = nil
            services.metrics.errorsSent.increment()
        case .farewell:
            absorbsPiece = true
        case .unexpected:
            throw Self.unexpectedMessage
        case .part, .parseCompleted, .ready:
            break
        }
    }

    /// The server reports what the client knows already.
    var isReplayingSilently: Bool {
        pendingReplay?.replay == .silent && ledger.currentSegment === pendingReplay
    }

    static let unexpectedMessage = PostgresError(
        .protocolViolation, "unexpected message from the database server", severity: .fatal)

    /// Settles a segment that has not run and will not.
    func release(_ segment: ForwardedSegment) {
        for window in windows.take(of: segment) {
            services.coordinator.close(window, committed: false, processID: linkKey?.processID)
        }
        if segment.isMark { mirroring.needsMark = true }
        if segment.isUnsettled { unsettledSegments -= 1 }
        if segment.isUnresolved { unresolvedSegments -= 1 }
        if segment.isNoted { transaction.skipped(segment) }
        if let statement = segment.destroyedStatement, statements[""] == nil {
            statements[""] = statement
        }
    }

    /// A Parse that the server has refused or skipped.
    private func undo(_ statement: PreparedStatement) {
        statement.unconfirmedIn = nil
        guard statements[statement.name] === statement else { return }
        statements[statement.name] = statement.replaced
        statement.replaced = nil
    }

    private func keep(_ piece: BackendMessageScanner.Piece, of chunk: ByteBuffer) {
        if absorbsPiece, piece.tag == BackendTag.dataRow, let probe = ledger.currentSegment?.probe,
            let slice = chunk.getSlice(at: piece.range.lowerBound, length: piece.range.count)
        {
            probe.append(slice)
        }
        guard let capture = captureOfPiece, capture.isLive,
            let slice = chunk.getSlice(at: piece.range.lowerBound, length: piece.range.count)
        else { return }
        if pieceIsRowDescription {
            capture.appendRowDescription(slice)
        } else {
            capture.append(slice)
        }
    }

    private func messageEnded(
        _ piece: BackendMessageScanner.Piece, in chunk: ByteBuffer
    ) throws(PostgresError) {
        if piece.tag == BackendTag.readyForQuery {
            let body = scanner.body(of: piece, in: chunk)
            try readyForQueryEnded(body)
            if mirroring.holdsReady, !isClosed {
                mirroring.holdsReady = false
                if let byte = body?.getInteger(at: body?.readerIndex ?? 0, as: UInt8.self),
                    let status = TransactionStatus(rawValue: byte)
                {
                    writeReady(status)
                }
            }
            return
        }
        switch pieceMeaning {
        case .parseCompleted(let statement):
            statement.replaced = nil
            statement.unconfirmedIn = nil
            parseIsSettled(statement)
        case .statementCompleted(let capture):
            statementCompleted(
                tag: scanner.body(of: piece, in: chunk)?.readableBytesView, capture)
        case .asynchronous:
            if piece.tag == BackendTag.parameterStatus {
                parameterEnded(scanner.body(of: piece, in: chunk))
            } else if piece.tag == BackendTag.notificationResponse, sharesLinks {
                try passOnNotification(scanner.body(of: piece, in: chunk))
            }
        case .farewell:
            farewell = scanner.body(of: piece, in: chunk)
        case .failed:
            // An error that answers the proxy's own message has not reached the client.
            if !absorbsPiece, let body = scanner.body(of: piece, in: chunk),
                let error = try? PostgresError(decodingErrorResponse: body)
            {
                hasBeenToldFatal = error.severity == .fatal
            }
        case .part, .rowDescription, .dataRow, .ready, .unexpected:
            break
        }
    }

    private func readyForQueryEnded(_ body: ByteBuffer?) throws(PostgresError) {
        var body = body
        guard let status = body?.readInteger(as: UInt8.self).flatMap(TransactionStatus.init)
        else {
            throw PostgresError(
                .protocolViolation, "invalid ReadyForQuery from the database server",
                severity: .fatal)
        }
        guard case .ready(let segment) = ledger.received(BackendTag.readyForQuery) else {
            throw Self.unexpectedMessage
        }
        for held in ledger.takeHeldOver() { settle(held, status) }
        settle(segment, status)
        if segment === pendingReplay { try replaySettled(segment) }
        guard segment.hasFailed, let error = segment.indispensable else { return }
        if segment.isMark, status == .failed {
            // The block had failed before: when it has ended.
            mirroring.needsMark = true
            return
        }
        // Nobody else is to have the connection.
        pins.pin(.unknownState)
        throw error
    }

    /// After these the server has none of the statements that it had before.
    private static let deallocationTags = ["DEALLOCATE ALL".utf8, "DISCARD ALL".utf8]

    private func statementCompleted(tag: ByteBufferView?, _ capture: ReplyCapture?) {
        let segment = ledger.currentSegment ?? openSegment
        var isRollback = false
        // Most tags are SELECT and of no interest: one byte tells.
        if let tag, tag.first == UInt8(ascii: "R") || tag.first == UInt8(ascii: "D") {
            isRollback = tag.starts(with: "ROLLBACK".utf8)
            if Self.deallocationTags.contains(where: { tag.dropLast().elementsEqual($0) }) {
                statements = statements.filter(\.value.isCertainToExist)
            }
        }
        segment?.statementCompleted(isRollback: isRollback)
        if let capture {
            capture.completed()
            segment?.captures.append(capture)
        }
    }

    // MARK: Settling

    /// Everything that is known once a segment's ReadyForQuery has come.
    private func settle(_ segment: ForwardedSegment, _ status: TransactionStatus) {
        if !segment.isAbsorbed {
            services.metrics.upstreamLatency.record(
                nanoseconds: MonotonicClock.now - segment.startedAt)
        }
        let isCommitted = !segment.isProvenAborted && !segment.leftBlockOpen(status)
        if segment.hasUnopenedWindow { try? openWindow(catalogVersion: 0, in: segment) }
        for window in windows.take(of: segment) {
            services.coordinator.close(
                window, committed: isCommitted, processID: linkKey?.processID)
        }
        if segment.isUnsettled {
            unsettledSegments -= 1
            settleSettings(of: segment, status)
            settlePins(of: segment, status)
        }
        if segment.isUnresolved { unresolvedSegments -= 1 }
        if !unconfirmedParses.isEmpty {
            unconfirmedParses = unconfirmedParses.filter { $0.value !== segment }
        }
        transaction.ready(
            status, for: segment, isLast: ledger.isEmpty && openSegment == nil)
        if status == .idle, ledger.isEmpty { portals.removeAll(keepingCapacity: true) }
        for capture in segment.captures { store(capture, segment) }
        segment.captures.removeAll()
        if mirroring.needsMark { markAgain(status) }
        // Last: it goes on with what the client has sent.
        if let probe = segment.probe { settle(probe, segment) }
    }

    private func settleSettings(of segment: ForwardedSegment, _ status: TransactionStatus) {
        let wasTainted = settings.isTainted
        for change in segment.confirmedSettings {
            settings.confirmed(change)
            if case .discardAll = change { isBoundToLink = false }
        }
        if segment.endedBySavepointRollback { settings.rolledBackToSavepoint() }
        if segment.hasFailed, segment.steps.contains(where: \.isSetting) {
            settings.changeFailed()
        }
        if segment.steps.contains(where: \.taintsSession) {
            settings.taint()
            hasProbed = false
        }
        if status == .idle {
            settings.transactionEnded(committed: segment.settingsWereKept)
        } else if segment.endsTransaction {
            // AND CHAIN, or one transaction after another in one string.
            settings.transactionEnded(committed: nil)
        }
        if settings.isTainted, !wasTainted { hasProbed = false }
        refreshIdentity()
    }

    private func store(_ capture: ReplyCapture, _ segment: ForwardedSegment) {
        guard capture.isComplete, capture.isLive else {
            services.metrics.fillsRejected.increment()
            if let reason = capture.abandonedFor { services.metrics.bypass(reason) }
            return
        }
        guard !segment.hasFailed else {
            capture.abandon(.replyNotStorable)
            services.metrics.fillsRejected.increment()
            return
        }
        guard pooledLink?.mirrorPosition == nil else {
            // From a node that led before, and may answer from a mirror of this one by now.
            capture.abandon(.replyNotStorable)
            services.metrics.fillsRejected.increment()
            return
        }
        guard replacesEntry(capture) else { return }
        let now = MonotonicClock.now
        let expiry =
            capture.timeToLive.map { now.addingReportingOverflow($0) }
            .map { $0.overflow ? UInt64.max : $0.partialValue } ?? .max
        let outcome = capture.key.withUnsafeReadableBytes { key in
            services.cache.store(
                key: key, hash: capture.hash, rowDescription: capture.rowDescription,
                body: capture.body, lease: capture.lease, expiry: expiry, now: now)
        }
        switch outcome {
        case .stored(let reply):
            services.metrics.fillsStored.increment()
            capture.flight?.finish(.reply(reply))
        case .invalidated:
            services.metrics.fillsRejected.increment()
            services.metrics.bypass(.invalidatedDuringFill)
            capture.flight?.finish(.leaderFailed)
        case .tooLarge:
            services.metrics.fillsRejected.increment()
            services.metrics.bypass(.entryTooLarge)
            capture.flight?.finish(.notCacheable)
        }
    }

    // MARK: The link's end

    package func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {
        guard !isClosed else { return }
        if linkIsReady, pooling == nil { services.metrics.upstreamConnections.decrement() }
        if pooledLink == nil, pooling != nil, wait == .upstream, pendingLink != nil {
            // The pool has none for it.
            link = nil
            failWaitingStatement(error)
            return
        }
        pooledLink = nil
        // Nothing is handed to a link before it is ready.
        let wasReady = linkIsReady
        let mayStillRun = mayStillRun && wasReady
        link = nil
        linkIsReady = false
        let isQuiet =
            wasReady && ledger.isEmpty && openSegment == nil && windows.isEmpty
            && scanner.isAtBoundary
        // In session mode a client is told when its connection is gone.
        let isBound = sharesLinks ? !pins.isEmpty : isBoundToLink || pooling != nil
        if isQuiet, transaction.isCertainlyIdle || transaction.lazyBlock != nil, !isBound,
            !isDraining
        {
            // The server side held nothing: the next statement gets a new connection.
            farewell = nil
            scanner = BackendMessageScanner()
            upstreamOutbox = ByteBuffer()
            for statement in statements.values {
                statement.upstreamState = .notPrepared
                statement.unconfirmedIn = nil
            }
            if wait == .upstream {
                setReadingForUpstream(true)
                resume(waitNumber)
            }
            return
        }
        settleOutstanding(mayStillRun: mayStillRun)
        if hasBeenToldFatal {
            // The client has the server's own last word.
            end()
        } else if let farewell, let told = try? PostgresError(decodingErrorResponse: farewell) {
            fail(told)
        } else {
            fail(error)
        }
    }
}
