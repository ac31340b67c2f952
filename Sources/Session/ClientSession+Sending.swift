import Mutants
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// What is done before and after messages go upstream: windows, the link, the messages of the
/// proxy's own.
extension ClientSession {
    /// Opens the windows of statements about to be sent, where they may commit at once; else
    /// remembers what the transaction's COMMIT will have to cover (design §4, Window).
    func openWindows(
        for statements: [StatementProfile], profile: QueryProfile, in segment: ForwardedSegment,
        isResolved: Bool = true
    ) throws(PostgresError) {
        pooling?.look()
        try notePins(of: statements)
        var mayCommit = transaction.mayBeOutsideBlock
        // After a COMMIT or ROLLBACK in the same segment, or one not yet ended by its Sync, writes
        // commit by themselves.
        var hasEndedBlock =
            segment.endingSteps > statements.count(where: \.endsTransaction)
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
        if Mutant.windowAfterCommit.isActive {
            segment.hasUnopenedWindow = true
            return
        }
        try openWindow(catalogVersion: profile.catalogVersion, in: segment)
    }

    /// A window over all that the transaction may have changed so far. Throws where there are too
    /// many, and in a session that has ended: nobody would close it.
    func openWindow(
        catalogVersion: UInt64, in segment: ForwardedSegment
    ) throws(PostgresError) {
        try openWindow(
            over: transaction.writes,
            catalogVersion: transaction.writesCatalogVersion ?? catalogVersion, in: segment)
    }

    /// A window over `writes`, closed with `segment`.
    func openWindow(
        over writes: WriteSet, catalogVersion: UInt64, in segment: ForwardedSegment
    ) throws(PostgresError) {
        guard !isClosed else { throw Self.shutdown }
        if windows.covers(writes, catalogVersion: catalogVersion, in: segment) { return }
        let window = try services.coordinator.open(
            writes, database: database, catalogVersion: catalogVersion)
        guard let window else { return }
        windows.add(window, of: segment)
        holdBack(untilKnown: window.registered.logIndex)
        windows.noteNewest(writes, catalogVersion: catalogVersion, in: segment)
    }

    /// Whether the names in what is sent now mean what analysis took them for. They may not where
    /// the search_path or the role is not known, or temporary tables are about.
    func resolvesCertainly(in segment: ForwardedSegment) -> Bool {
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
        if Mutant.settingsBeforeConfirmation.isActive {
            settings.takeUnconfirmed(segment.steps)
            refreshIdentity()
        }
    }

    /// Makes sure that there is a link, and that the server knows what it must before `statements`:
    /// the BEGIN that was answered for it, and that the block has read.
    func attachLink(before statements: [StatementProfile]) throws(PostgresError) {
        try connectLink()
        if let block = transaction.lazyBlock {
            let begin = sendAbsorbed(block.begin)
            begin.beginsLazily = true
            // What the client takes for a block would be none.
            begin.indispensable = PostgresError(
                "08007", "the transaction could not be started", severity: .fatal)
            transaction.materialised()
        }
        if let statement = statements.first, transaction.mustBeSeen(before: statement) {
            sendAbsorbed("SELECT 1")
            transaction.madeReadsSeen()
        }
    }

    /// Makes sure that there is a link, and no more.
    func connectLink() throws(PostgresError) {
        guard link == nil else { return }
        if let pooling {
            try borrowLink(pooling)
            return
        }
        linkIsReady = false
        linkKey = nil
        link = services.upstream.makeLink(startup: startup, eventLoop: eventLoop, delegate: self)
    }

    /// Sends a Query of the proxy's own, whose reply is swallowed.
    @discardableResult
    func sendAbsorbed(_ query: String, probe: ProbedSettings? = nil) -> ForwardedSegment {
        let segment = ForwardedSegment(
            isAbsorbed: true, startedIdle: false, startedAt: MonotonicClock.now)
        segment.probe = probe
        ledger.owe(.query(segment, nil))
        var message = ByteBuffer()
        message.writeQuery(query)
        sendUpstream(message)
        // A simple Query destroys the server's unnamed statement.
        statements[""]?.upstreamState = .notPrepared
        return segment
    }

    /// Sends the Parse of a statement that the upstream does not have.
    func prepareUpstream(_ statement: PreparedStatement) throws(PostgresError) {
        if isShared(statement) {
            prepareShared(statement)
            return
        }
        guard statement.upstreamState == .notPrepared else { return }
        if ledger.owe(.parse(statement, absorbed: true)) {
            statement.upstreamState = .prepared
            statement.unconfirmedIn = openSegment
            statement.rolesVersion = rolesVersionNow
            if statement.name.isEmpty { serverKeepsUnnamed = false }
            statement.isFaithful =
                unsettledSegments == 0 && !(openSegment?.changesParseContext ?? false)
                && parseIdentity != .unknown && statement.parseIdentity == parseIdentity
        }
        sendUpstream(statement.parseMessage)
    }

    /// Whether it is known that the server has the statement, or will have. A Parse of the proxy's own
    /// that went with an earlier segment may yet be skipped, with everything else in that: then
    /// `frame` is looked at again when that has been answered.
    func isCertainUpstream(_ statement: PreparedStatement, holding frame: MessageFrame) -> Bool {
        if isShared(statement) { return isCertainOnLink(statement, holding: frame) }
        guard let segment = statement.unconfirmedIn, segment !== openSegment else { return true }
        awaitedParse = (statement, suspend(.upstream, holding: frame))
        return false
    }

    /// Goes on where what `isCertainUpstream` has waited for is known.
    func resumeAfterParse() {
        guard let (statement, number) = awaitedParse,
            statement.unconfirmedIn == nil,
            !isShared(statement) || unconfirmedParses[statement.lastDigest] == nil
        else { return }
        awaitedParse = nil
        resume(number)
    }

    /// Makes the server forget the unnamed statement where the client's Query has destroyed it: what
    /// the server has under that name is an older one.
    func closeForgotten(_ name: String) {
        guard name.isEmpty, serverKeepsUnnamed else { return }
        serverKeepsUnnamed = false
        ledger.owe(.absorbedClose(nil))
        var message = ByteBuffer()
        CloseMessage(target: .statement, name: "").write(to: &message)
        sendUpstream(message)
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
        // There its effects say it (`prepareNamesInSQL`).
        if sharesLinks { return }
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
        if upstreamOutbox.readableBytes > Self.outboxLimit {
            flushUpstream()
            if !linkIsReady || mirroring.isAwaiting, wait == nil { _ = suspend(.upstream, holding: heldFrame) }
        }
    }

    /// Hands what is gathered to the link once that is ready: only then is it certain with which
    /// settings the server will read it.
    func flushUpstream() {
        guard upstreamOutbox.readableBytes > 0, linkIsReady, pendingReplay == nil,
            !waitsForFollowers()
        else { return }
        let bytes = upstreamOutbox
        upstreamOutbox = ByteBuffer()
        link?.send(bytes)
        if cancelsNext {
            cancelsNext = false
            link?.cancelRunningStatement()
        }
    }
}

extension StatementProfile {
    var isSetting: Bool {
        if case .setting = kind { true } else { false }
    }

    /// Whether the server-side session may afterwards hold what a new connection would not.
    var bindsSessionToLink: Bool {
        switch kind {
        case .read, .write, .transaction: taintsSession
        case .setting, .harmless, .locking, .opaque: true
        }
    }
}
