import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

extension ClientSession {
    // MARK: Extended protocol, message by message

    /// Forwards one message of the open segment, opening one where there is none.
    func forwardExtended(_ frame: MessageFrame) throws(PostgresError) {
        let segment = currentOpenSegment()
        switch frame.tag {
        case FrontendTag.parse:
            try forwardParse(frame, segment)
        case FrontendTag.bind:
            try forwardBind(frame, segment)
        case FrontendTag.describe:
            try forwardDescribe(frame)
        case FrontendTag.execute:
            try forwardExecute(frame, segment)
        case FrontendTag.close:
            try forwardClose(frame)
        default:
            preconditionFailure("only extended-protocol messages are forwarded here")
        }
    }

    private func currentOpenSegment() -> ForwardedSegment {
        if let openSegment { return openSegment }
        let segment = ForwardedSegment(
            isAbsorbed: false, startedIdle: transaction.isCertainlyIdle,
            startedAt: MonotonicClock.now)
        openSegment = segment
        return segment
    }

    private func forwardParse(
        _ frame: MessageFrame, _ segment: ForwardedSegment
    ) throws(PostgresError) {
        let message = try ParseMessage(decoding: frame.body)
        try attachLink(before: [])
        let replaced = statements[message.statement]
        if let replaced, !message.statement.isEmpty, replaced.isCertainToExist {
            try prepareUpstream(replaced)
        }
        let isSettled =
            unsettledSegments == 0 && settings.isKnown && !segment.changesParseContext
        let statement: PreparedStatement
        if let replaced, message.statement.isEmpty, isSettled, replaced.parseIdentity == identity,
            replaced.parseMessage.readableBytesView.elementsEqual(frame.bytes.readableBytesView)
        {
            statement = replaced
            statement.isFaithful = true
        } else {
            statement = PreparedStatement(
                message, bytes: frame.bytes, identity: isSettled ? identity : .unknown,
                upstreamState: .prepared)
            statement.replaced = message.statement.isEmpty ? nil : replaced
        }
        if ledger.owe(.parse(statement, absorbed: false)) {
            statement.upstreamState = .prepared
            statements[message.statement] = statement
            guard statements.count <= Self.statementLimit else {
                throw PostgresError(.programLimitExceeded, "too many prepared statements")
            }
        }
        sendUpstream(frame.bytes)
    }

    private func forwardBind(
        _ frame: MessageFrame, _ segment: ForwardedSegment
    ) throws(PostgresError) {
        var body = frame.body
        guard let portal = body.readName(), let name = body.readName() else {
            throw PostgresError(.protocolViolation, "invalid message format", severity: .fatal)
        }
        guard let statement = statements[name], statement.isCertainToExist else {
            // The server knows best what is wrong with it, or what else has the name now.
            try attachLink(before: [])
            portals[portal] = nil
            if portal.isEmpty {
                // The portal that it was for is gone.
                boundCapture?.abandon(.replyNotStorable)
                boundCapture = nil
            }
            ledger.owe(takeBindItem())
            sendUpstream(frame.bytes)
            return
        }
        if services.analyses {
            guard try updateProfile(of: statement, holding: frame) else { return }
        }
        let isResolved = resolvesCertainly(in: segment)
        try attachLink(before: statement.profile?.statements ?? [])
        try prepareUpstream(statement)
        if portal.isEmpty {
            boundCapture?.abandon(.replyNotStorable)
            boundCapture = capture(for: statement, bindTail: body)
        }
        if ledger.owe(takeBindItem()) {
            portals[portal] = BoundPortal(
                statement: statement, profile: statement.profile, isResolved: isResolved)
        }
        sendUpstream(frame.bytes)
    }

    private func takeBindItem() -> ReplyLedger.Item {
        defer { absorbsNextBind = false }
        return absorbsNextBind ? .absorbedBind : .bind
    }

    /// False while the profile is awaited.
    private func updateProfile(
        of statement: PreparedStatement, holding frame: MessageFrame
    ) throws(PostgresError) -> Bool {
        let version = services.upstream.analyzer.catalogVersion(database: database)
        if let profile = statement.profile, profile.catalogVersion == version,
            statement.profileIdentity == identity, identity != .unknown
        {
            return true
        }
        guard analysable(ByteBuffer(string: statement.query).readableBytesView) != nil else {
            statement.profile = unparsedProfile
            return true
        }
        guard
            let profile = profile(
                of: statement.query, parameterTypes: statement.parameterTypes, holding: frame)
        else { return false }
        statement.profile = profile
        statement.profileIdentity = identity
        return true
    }

    /// The right to store what the portal now bound will answer; nil where it may not be stored.
    private func capture(for statement: PreparedStatement, bindTail: ByteBuffer) -> ReplyCapture? {
        let flight = leadingFlight
        leadingFlight = nil
        guard services.analyses, let profile = statement.profile else { return nil }
        guard
            case .fill(let lease, let timeToLive) = boundFillDecision(statement, profile, bindTail)
        else {
            flight?.finish(.notCacheable)
            return nil
        }
        services.metrics.cacheMisses.increment()
        return ReplyCapture(
            key: copyOfKey(), hash: keyScratch.withUnsafeReadableBytes(ReplyCache.hash),
            lease: lease, timeToLive: timeToLive, limit: services.options.maximumEntry,
            flight: flight)
    }

    private func boundFillDecision(
        _ statement: PreparedStatement, _ profile: QueryProfile, _ bindTail: ByteBuffer
    ) -> FillDecision {
        var decision = fillDecision(for: profile, text: statement.query)
        if case .fill = decision {
            if statement.parseIdentity == .unknown || !statement.isFaithful {
                decision = .bypass(.sessionState)
            } else if let shape = BindShape(
                bindTail, inspectsText: statement.statementProfile?.hasTimeTypedParameters ?? true)
            {
                if shape.hasRelativeTime { decision = .bypass(.relativeTimeLiteral) }
                if !CacheKeyWriter.writeBound(
                    statement: statement, identity: identity, bindTail: bindTail, into: &keyScratch)
                {
                    decision = .bypass(nil)
                }
            } else {
                decision = .bypass(nil)
            }
        }
        if case .bypass(let reason?) = decision { services.metrics.bypass(reason) }
        return decision
    }

    private func forwardDescribe(_ frame: MessageFrame) throws(PostgresError) {
        var body = frame.body
        guard let kind = body.readInteger(as: UInt8.self), let name = body.readName() else {
            throw PostgresError(.protocolViolation, "invalid message format", severity: .fatal)
        }
        try attachLink(before: [])
        if kind == UInt8(ascii: "S") {
            if let statement = statements[name] { try prepareUpstream(statement) }
            ledger.owe(.describeStatement)
        } else {
            ledger.owe(.describePortal(name.isEmpty ? boundCapture : nil))
        }
        sendUpstream(frame.bytes)
    }

    private func forwardExecute(
        _ frame: MessageFrame, _ segment: ForwardedSegment
    ) throws(PostgresError) {
        var body = frame.body
        guard let portal = body.readName(), let maximumRows = body.readInteger(as: Int32.self)
        else {
            throw PostgresError(.protocolViolation, "invalid message format", severity: .fatal)
        }
        var capture = portal.isEmpty ? boundCapture : nil
        if portal.isEmpty { boundCapture = nil }
        if maximumRows != 0, capture != nil {
            capture?.abandon(.partialExecute)
            services.metrics.bypass(.partialExecute)
            capture = nil
        }
        if services.analyses {
            // A portal made by SQL (DECLARE) may run anything that its statement does.
            let bound = portals[portal]
            let profile = bound?.profile ?? unparsedProfile
            for statement in profile.statements { segment.append(statement) }
            try openWindows(
                for: profile.statements, profile: profile, in: segment,
                isResolved: bound?.isResolved ?? false)
            if segment.changesParseContext { try prepareAll(endingEachWithSync: false) }
            if let statement = bound?.statement, statement.mentionsDeallocation {
                try deallocate(by: statement.query, endingEachWithSync: false)
            }
        }
        services.metrics.upstreamQueries.increment()
        if !ledger.owe(.execute(capture)) { capture?.abandon(.replyNotStorable) }
        sendUpstream(frame.bytes)
    }

    private func forwardClose(_ frame: MessageFrame) throws(PostgresError) {
        var body = frame.body
        guard let kind = body.readInteger(as: UInt8.self), let name = body.readName() else {
            throw PostgresError(.protocolViolation, "invalid message format", severity: .fatal)
        }
        try attachLink(before: [])
        if ledger.owe(.close) {
            if kind == UInt8(ascii: "S") { statements[name] = nil } else { portals[name] = nil }
        }
        sendUpstream(frame.bytes)
    }

    func forwardSync(_ frame: MessageFrame) throws(PostgresError) {
        let segment = currentOpenSegment()
        openSegment = nil
        hasWaitedForFlight = false
        leadingFlight?.finish(.leaderFailed)
        leadingFlight = nil
        try attachLink(before: [])
        if ledger.owe(.sync(segment)) {
            noteSent(segment)
        } else {
            // Ignored by the server while COPY runs: what it would have ended goes on.
            if !segment.steps.isEmpty || !segment.windows.isEmpty { openSegment = segment }
        }
        sendUpstream(frame.bytes)
    }

    // MARK: COPY and function calls

    func copyReceived(_ frame: MessageFrame) throws(PostgresError) {
        // Outside of COPY the server ignores these; so does the proxy where there is none.
        if !collected.isEmpty {
            // Ahead of the Sync that sends the COPY itself off.
            try forwardCollected(then: frame)
            return
        }
        guard link != nil else { return }
        if frame.tag != FrontendTag.copyData { ledger.copyEnded() }
        sendUpstream(frame.bytes)
    }

    func functionCallReceived(_ frame: MessageFrame) throws(PostgresError) {
        if !collected.isEmpty {
            try forwardCollected(then: frame)
            return
        }
        if openSegment != nil { distrustOpenSegment() }
        let statement = StatementProfile.opaque(.notARead)
        try attachLink(before: [statement])
        let segment = ForwardedSegment(
            isAbsorbed: false, startedIdle: transaction.isCertainlyIdle,
            startedAt: MonotonicClock.now)
        if services.analyses {
            segment.append(statement)
            services.metrics.bypass(.notARead)
            let profile = QueryProfile(statements: [statement], catalogVersion: 0)
            try openWindows(for: [statement], profile: profile, in: segment)
        }
        noteSent(segment)
        services.metrics.upstreamQueries.increment()
        if !ledger.owe(.functionCall(segment)) { release(segment) }
        sendUpstream(frame.bytes)
    }

    // MARK: Before and after sending

    /// Opens the windows of statements about to be sent, where they may commit at once; else
    /// remembers what the transaction's COMMIT will have to cover (design §4, Window).
    func openWindows(
        for statements: [StatementProfile], profile: QueryProfile, in segment: ForwardedSegment,
        isResolved: Bool = true
    ) throws(PostgresError) {
        var mayCommit = transaction.mayBeOutsideBlock
        // After a COMMIT or ROLLBACK in the same segment, or one not yet ended by its Sync, writes
        // commit by themselves.
        var hasEndedBlock =
            segment.steps.dropLast(statements.count).contains(where: \.endsTransaction)
            || (openSegment.map { $0 !== segment && $0.endsTransaction } ?? false)
        for statement in statements {
            var statement = statement
            if statement.mayEndTransaction { mayCommit = true }
            if hasEndedBlock, statement.writeSet != .nothing { mayCommit = true }
            if statement.endsTransaction { hasEndedBlock = true }
            if case .transaction(let command) = statement.kind {
                switch command {
                case .commit, .prepareTransaction: mayCommit = true
                case .commitPrepared:
                    // What was prepared, and where, is not known here.
                    statement.writeSet = .everythingAndCatalog
                    mayCommit = true
                case .begin, .rollback, .savepoint, .releaseSavepoint, .rollbackToSavepoint,
                    .rollbackPrepared, .setTransaction:
                    break
                }
            }
            if !isResolved || !resolvesCertainly(in: segment), case .relations = statement.writeSet
            {
                statement.writeSet = .everything
            }
            transaction.sent(statement, catalogVersion: profile.catalogVersion)
        }
        guard mayCommit else { return }
        let window = try services.coordinator.open(
            transaction.writes, database: database,
            catalogVersion: transaction.writesCatalogVersion ?? profile.catalogVersion)
        if let window { segment.windows.append(window) }
    }

    /// Whether the names in what is sent now mean what analysis took them for. They may not where
    /// the search_path or the role is not known, or temporary tables are about.
    private func resolvesCertainly(in segment: ForwardedSegment) -> Bool {
        settings.isKnown && unresolvedSegments == 0 && !segment.mayChangeResolution
            && !(segment.mayRevertSettings && settings.mayBeReverted)
    }

    /// A Query or function call comes before the Sync of the messages before it: legal, but whose
    /// CommandComplete is whose can then not be told.
    func distrustOpenSegment() {
        settings.taint()
        hasProbed = false
        refreshIdentity()
    }

    func noteSent(_ segment: ForwardedSegment) {
        guard !segment.isNoted else { return }
        segment.isNoted = true
        transaction.sent(segment)
        // Without analysis nothing is known of what the server-side session holds.
        if !services.analyses { isBoundToLink = true }
        if segment.steps.contains(where: { $0.kind != .read }) {
            segment.isUnsettled = true
            unsettledSegments += 1
        }
        if segment.mayChangeResolution
            || (segment.mayRevertSettings
                && (settings.mayBeReverted || unresolvedSegments > 0))
        {
            segment.isUnresolved = true
            unresolvedSegments += 1
        }
        for step in segment.steps where step.bindsSessionToLink { isBoundToLink = true }
    }

    /// Makes sure that there is a link, and that the server knows what it must before `statements`:
    /// the BEGIN that was answered for it, and that the block has read.
    func attachLink(before statements: [StatementProfile]) throws(PostgresError) {
        connectLink()
        if let block = transaction.lazyBlock {
            sendAbsorbed(block.begin, beginsLazily: true)
            transaction.materialised()
        }
        if let statement = statements.first, transaction.mustBeSeen(before: statement) {
            sendAbsorbed("SELECT 1")
            transaction.madeReadsSeen()
        }
    }

    /// Makes sure that there is a link, and no more.
    func connectLink() {
        guard link == nil else { return }
        linkIsReady = false
        linkKey = nil
        link = services.upstream.makeLink(startup: startup, eventLoop: eventLoop, delegate: self)
    }

    /// Sends a Query of the proxy's own, whose reply is swallowed.
    func sendAbsorbed(
        _ query: String, probe: ProbedSettings? = nil, beginsLazily: Bool = false
    ) {
        let segment = ForwardedSegment(
            isAbsorbed: true, startedIdle: false, startedAt: MonotonicClock.now)
        segment.probe = probe
        segment.beginsLazily = beginsLazily
        ledger.owe(.query(segment, nil))
        var message = ByteBuffer()
        message.writeQuery(query)
        sendUpstream(message)
        // A simple Query destroys the server's unnamed statement.
        statements[""]?.upstreamState = .notPrepared
    }

    /// Sends the Parse of a statement that the upstream does not have.
    private func prepareUpstream(_ statement: PreparedStatement) throws(PostgresError) {
        guard statement.upstreamState == .notPrepared else { return }
        if ledger.owe(.parse(statement, absorbed: true)) {
            statement.upstreamState = .prepared
            statement.isFaithful =
                unsettledSegments == 0 && !(openSegment?.changesParseContext ?? false)
                && identity != .unknown && statement.parseIdentity == identity
        }
        sendUpstream(statement.parseMessage)
    }

    /// Makes the server parse every statement that it has not seen, while the settings are still
    /// those of the client's Parse: constants in the text are read with them.
    func prepareAll(endingEachWithSync: Bool) throws(PostgresError) {
        guard transaction.status != .failed, !ledger.isSkippingToSync else { return }
        // A Sync must not end what the client has begun.
        guard openSegment == nil || !endingEachWithSync else { return }
        for statement in statements.values
        where statement.upstreamState == .notPrepared && statement.isCertainToExist
            && !statement.name.isEmpty
        {
            try prepareUpstream(statement)
            guard endingEachWithSync else { continue }
            let segment = ForwardedSegment(
                isAbsorbed: true, startedIdle: false, startedAt: MonotonicClock.now)
            ledger.owe(.sync(segment))
            var sync = ByteBuffer()
            sync.writeSync()
            sendUpstream(sync)
        }
    }

    /// DEALLOCATE or DISCARD is about to be sent.
    func deallocate(by text: String, endingEachWithSync: Bool) throws(PostgresError) {
        try prepareAll(endingEachWithSync: endingEachWithSync)
        if let name = PreparedStatement.nameDeallocated(by: text) {
            statements[name] = nil
        } else {
            distrustStatements()
        }
    }

    /// After DEALLOCATE or DISCARD nothing is known of the named statements.
    func distrustStatements() {
        for statement in statements.values { statement.isCertainToExist = false }
    }

    func mentionsDeallocation(_ frame: MessageFrame, _ statements: [StatementProfile]) -> Bool {
        guard !self.statements.isEmpty, statements.contains(where: \.mayDeallocate) else {
            return false
        }
        return PreparedStatement.mentionsDeallocation(
            String(decoding: frame.body.readableBytesView, as: UTF8.self))
    }

    func sendUpstream(_ bytes: ByteBuffer) {
        if upstreamOutbox.readableBytes == 0 {
            upstreamOutbox = bytes
        } else {
            upstreamOutbox.writeImmutableBuffer(bytes)
        }
        if upstreamOutbox.readableBytes > Self.collectionLimit {
            flushUpstream()
            if !linkIsReady, wait == nil { _ = suspend(.upstream, holding: heldFrame) }
        }
    }

    /// Hands what is gathered to the link once that is ready: only then is it certain with which
    /// settings the server will read it.
    func flushUpstream() {
        guard upstreamOutbox.readableBytes > 0, linkIsReady else { return }
        let bytes = upstreamOutbox
        upstreamOutbox = ByteBuffer()
        link?.send(bytes)
    }
}

extension StatementProfile {
    /// Whether the server-side session may afterwards hold what a new connection would not.
    var bindsSessionToLink: Bool {
        switch kind {
        case .read, .write, .transaction: taintsSession
        case .setting, .harmless, .locking, .opaque: true
        }
    }
}
