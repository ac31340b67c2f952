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
        guard try linkIsAttached(holding: frame) else { return }
        var frame = frame
        if frame.tag == FrontendTag.parse {
            guard let parse = try explaining(parse: frame) else { return }
            frame = parse
        }
        let segment = currentOpenSegment()
        guard services.analyses else {
            try passExtended(frame)
            return
        }
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

    /// Forwards a message where nothing is analysed: only the order of replies is kept.
    private func passExtended(_ frame: MessageFrame) throws(PostgresError) {
        try connectLink()
        switch frame.tag {
        case FrontendTag.parse: ledger.owe(.passedParse)
        case FrontendTag.bind: ledger.owe(.bind)
        case FrontendTag.close: ledger.owe(.close)
        case FrontendTag.describe:
            let isStatement =
                frame.bytes.getInteger(
                    at: frame.bytes.readerIndex + MessageFraming.headerLength, as: UInt8.self)
                == UInt8(ascii: "S")
            ledger.owe(isStatement ? .describeStatement : .describePortal(nil))
        default:
            services.metrics.upstreamQueries.increment()
            ledger.owe(.execute(nil))
        }
        sendUpstream(frame.bytes)
    }

    private func currentOpenSegment() -> ForwardedSegment {
        if let openSegment { return openSegment }
        let segment = ForwardedSegment(
            isAbsorbed: false, startedIdle: transaction.isCertainlyIdle,
            startedAt: MonotonicClock.now)
        openSegment = segment
        return segment
    }

    /// Forwards a message that is malformed. The server says what is wrong with it, where it would
    /// have said ParseComplete, and goes on at the next Sync.
    func forwardUnreadable(_ frame: MessageFrame) throws(PostgresError) {
        _ = currentOpenSegment()
        try attachLink(before: [])
        ledger.owe(.passedParse)
        sendUpstream(frame.bytes)
    }

    private func forwardParse(
        _ frame: MessageFrame, _ segment: ForwardedSegment
    ) throws(PostgresError) {
        guard var message = try? ParseMessage(decoding: frame.body) else {
            try forwardUnreadable(frame)
            return
        }
        var body = frame.body
        message.statement = body.readObjectName() ?? message.statement
        try attachLink(before: [])
        let replaced = statements[message.statement]
        if let replaced, !message.statement.isEmpty, replaced.isCertainToExist {
            try prepareUpstream(replaced)
        }
        if sharesLinks, !message.statement.isEmpty {
            let isSettled =
                unsettledSegments == 0 && settings.isKnown && !segment.changesParseContext
            guard statements.count < Self.statementLimit else {
                throw PostgresError(.programLimitExceeded, "too many prepared statements")
            }
            let statement = PreparedStatement(
                message, bytes: frame.bytes, identity: isSettled ? parseIdentity : .unknown,
                upstreamState: .notPrepared)
            statement.parsed(in: self)
            guard try updateProfile(of: statement, holding: frame) else { return }
            try forwardSharedParse(statement, frame)
            return
        }
        let isSettled =
            unsettledSegments == 0 && settings.isKnown && !segment.changesParseContext
        let statement: PreparedStatement
        if let replaced, message.statement.isEmpty, isSettled,
            replaced.parseIdentity == parseIdentity,
            replaced.parseMessage == frame.bytes, ledger.isEmpty
        {
            statement = replaced
            statement.isFaithful = true
        } else {
            statement = PreparedStatement(
                message, bytes: frame.bytes, identity: isSettled ? parseIdentity : .unknown,
                upstreamState: .prepared)
            statement.replaced = replaced
            if let replaced, replaced.parseMessage == frame.bytes {
                statement.profile = replaced.profile
                statement.profileIdentity = replaced.profileIdentity
            }
        }
        statement.parsed(in: self)
        if ledger.owe(.parse(statement, absorbed: false)) {
            statement.upstreamState = .prepared
            statements[message.statement] = statement
            if message.statement.isEmpty { serverKeepsUnnamed = false }
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
        guard let portal = body.readObjectName(), let name = body.readObjectName() else {
            try forwardUnreadable(frame)
            return
        }
        if statements[name] == nil, isReserved(name) {
            try attachLink(before: [])
            ledger.owe(takeBindItem())
            sendUpstream(renamed(bind: frame, to: Self.noStatement))
            return
        }
        guard let statement = statements[name], statement.isCertainToExist else {
            // The server knows best what is wrong with it, or what else has the name now.
            try attachLink(before: [])
            closeForgotten(name)
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
        if hasGoneStale(statement) {
            // The server does not know this name: so says its error, upon which drivers prepare anew.
            // It fails the block that the client is in.
            try attachLink(before: [])
            ledger.owe(takeBindItem())
            sendUpstream(frame.bytes)
            return
        }
        guard isCertainUpstream(statement, holding: frame) else { return }
        let isResolved = resolvesCertainly(in: segment)
        try attachLink(before: statement.profile?.statements ?? [])
        // EXECUTE looks its statement up when a portal is made for it.
        if sharesLinks, let profile = statement.profile {
            prepareNamesInSQL(
                profile.statements.filter { $0.kind == .opaque }, endingEachWithSync: false)
        }
        try prepareUpstream(statement)
        if portal.isEmpty {
            boundCapture?.abandon(.replyNotStorable)
            boundCapture = capture(for: statement, bindTail: body)
        }
        if ledger.owe(takeBindItem()) {
            portals[portal] = BoundPortal(
                statement: statement, profile: statement.profile,
                boundWrites: boundWrites(of: statement, bindTail: body), isResolved: isResolved)
        }
        sendUpstream(isShared(statement)
                ? renamed(bind: frame, to: serverName(of: statement)) : frame.bytes)
    }

    /// A name that no statement has.
    private static let noStatement = "no such statement"

    /// The Bind message with the server's name of the statement.
    private func renamed(bind frame: MessageFrame, to name: String) -> ByteBuffer {
        var body = frame.body
        let end = body.readableBytesView.firstIndex(of: 0) ?? body.readerIndex
        let portal = body.readBytes(length: end + 1 - body.readerIndex) ?? [0]
        return ByteBuffer(
            renaming: &body, tag: FrontendTag.bind, before: portal, to: name)
    }

    /// What a portal may change with its parameters; nil where that does not depend on them.
    private func boundWrites(of statement: PreparedStatement, bindTail: ByteBuffer) -> WriteSet? {
        guard let writes = statement.statementProfile?.writeSet, writes.namesParameters else {
            return nil
        }
        return writes.bound(to: BoundParameters(bindTail, comparesTextAsSent: comparesTextAsSent))
    }

    private func takeBindItem() -> ReplyLedger.Item {
        defer { absorbsNextBind = false }
        return absorbsNextBind ? .absorbedBind : .bind
    }

    /// False while the profile is awaited.
    func updateProfile(
        of statement: PreparedStatement, holding frame: MessageFrame
    ) throws(PostgresError) -> Bool {
        if let profile = statement.profile, profile.catalogVersion == catalogCell.current,
            statement.profileIdentity == parseIdentity, parseIdentity != .unknown
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
        statement.profileIdentity = parseIdentity
        statement.noteShape()
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
        let hash = keyScratch.withUnsafeReadableBytes(ReplyCache.hash)
        return ReplyCapture(
            key: copyOfKey(), hash: hash, lease: lease, timeToLive: timeToLive,
            limit: services.entryLimit, flight: flight,
            verification: takeVerification(key: keyScratch, hash: hash))
    }

    private func boundFillDecision(
        _ statement: PreparedStatement, _ profile: QueryProfile, _ bindTail: ByteBuffer
    ) -> FillDecision {
        var decision = fillDecision(
            for: profile, text: statement.query, bindTail: bindTail)
        if case .fill = decision {
            if statement.parseIdentity == .unknown || !isFaithful(statement)
                || !knowsRolesOfNow(statement)
            {
                // (Looked at after the lease was taken: what changes from then on ends that.)
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
        guard let kind = body.readInteger(as: UInt8.self), let name = body.readObjectName() else {
            try forwardUnreadable(frame)
            return
        }
        try attachLink(before: [])
        var message = frame.bytes
        if kind == UInt8(ascii: "S") {
            if let statement = statements[name] {
                guard isCertainUpstream(statement, holding: frame) else { return }
                try prepareUpstream(statement)
                if isShared(statement) {
                    message = ByteBuffer()
                    DescribeMessage(target: .statement, name: serverName(of: statement))
                        .write(to: &message)
                }
            } else if isReserved(name) {
                message = ByteBuffer()
                DescribeMessage(target: .statement, name: Self.noStatement).write(to: &message)
            } else {
                closeForgotten(name)
            }
            ledger.owe(.describeStatement)
        } else {
            ledger.owe(.describePortal(name.isEmpty ? boundCapture : nil))
        }
        sendUpstream(message)
    }

    private func forwardExecute(
        _ frame: MessageFrame, _ segment: ForwardedSegment
    ) throws(PostgresError) {
        var body = frame.body
        guard let portal = body.readObjectName(), let maximumRows = body.readInteger(as: Int32.self)
        else {
            try forwardUnreadable(frame)
            return
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
            let profile = bound?.profile ?? unknownPortalProfile
            let statements = bound?.statements ?? profile.statements
            for statement in statements { segment.append(statement) }
            try openWindows(
                for: statements, profile: profile, in: segment,
                isResolved: bound?.isResolved ?? false)
            if segment.changesParseContext, !sharesLinks || pinsStatements(segment) {
                try prepareAll(endingEachWithSync: false)
            }
            prepareNamesInSQL(statements, endingEachWithSync: false)
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
        guard let kind = body.readInteger(as: UInt8.self), let name = body.readObjectName() else {
            try forwardUnreadable(frame)
            return
        }
        try attachLink(before: [])
        if kind == UInt8(ascii: "S"), let statement = statements[name], isShared(statement),
            !pins.hasStatement(name)
        {
            forwardSharedClose(statement)
            return
        }
        if kind == UInt8(ascii: "S"), statements[name] == nil, isReserved(name) {
            ledger.owe(.close)
            var message = ByteBuffer()
            CloseMessage(target: .statement, name: Self.noStatement).write(to: &message)
            sendUpstream(message)
            return
        }
        if ledger.owe(.close) {
            if kind == UInt8(ascii: "S") { statements[name] = nil } else { portals[name] = nil }
        }
        sendUpstream(frame.bytes)
    }

    func forwardSync(_ frame: MessageFrame) throws(PostgresError) {
        guard try linkIsAttached(holding: frame) else { return }
        let segment = currentOpenSegment()
        openSegment = nil
        hasWaitedForFlight = false
        verification = nil
        leadingFlight?.finish(.leaderFailed)
        leadingFlight = nil
        try attachLink(before: [])
        if ledger.owe(.sync(segment)) {
            noteSent(segment)
        } else {
            // Ignored by the server while COPY runs: what it would have ended goes on.
            if !segment.steps.isEmpty || windows.covers(segment) { openSegment = segment }
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
        if frame.tag == FrontendTag.copyData { ledger.copyDataSent() } else { ledger.copyEnded() }
        sendUpstream(frame.bytes)
    }

    func functionCallReceived(_ frame: MessageFrame) throws(PostgresError) {
        if !collected.isEmpty {
            try forwardCollected(then: frame)
            return
        }
        guard try linkIsAttached(holding: frame) else { return }
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
}
