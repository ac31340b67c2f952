import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// Whether the reply to a miss may be stored.
enum FillDecision {
    /// nil: not a statement whose bypass is counted (transaction control, an empty query).
    case bypass(BypassReason?)
    case fill(FillLease, timeToLive: UInt64?)
}

extension ClientSession {
    /// The profile of `text`, or nil while it is being made: the session is then suspended, holding
    /// `frame`, and processes it again when the profile is there.
    func profile(
        of text: String, parameterTypes: [UInt32], holding frame: MessageFrame
    ) -> QueryProfile? {
        if let held = heldProfile {
            heldProfile = nil
            if held.text == text, held.context == resolutionContext { return held.profile }
        }
        let context = resolutionContext
        let number = suspend(.profile, holding: frame)
        // The completion may come on any thread, and at any time: it carries the number of what
        // awaits it, and the session is looked up again on its own event loop.
        let session = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        let lookup = services.upstream.analyzer.profile(
            of: text, parameterTypes: parameterTypes, context: context
        ) { profile in
            eventLoop.execute {
                let session = session.value
                guard session.wait != nil, session.waitNumber == number else { return }
                session.heldProfile = (text, context, profile)
                session.resume(number)
            }
        }
        guard case .known(let profile) = lookup else { return nil }
        wait = nil
        heldFrame = nil
        return profile
    }

    /// Text as the analyser can be given it; nil where it might mean something else to the server:
    /// bytes above 127 in another encoding than UTF-8, backslashes without
    /// standard_conforming_strings.
    func analysable(_ query: ByteBufferView) -> String? {
        if settings.current["reported standard_conforming_strings"] == "off",
            query.contains(UInt8(ascii: "\\"))
        {
            return nil
        }
        if query.allSatisfy({ $0 < 128 }) { return String(decoding: query, as: UTF8.self) }
        guard clientEncodingIsUTF8 else { return nil }
        return String(validating: query, as: UTF8.self)
    }

    /// Whether a text parameter's bytes are those that the server compares. In other encodings of
    /// either side two texts may be one to the server (full-width tilde and wave dash in EUC_JP).
    var comparesTextAsSent: Bool {
        clientEncodingIsUTF8 && settings.current["reported server_encoding"] == "UTF8"
    }

    var clientEncodingIsUTF8: Bool {
        let name = settings.current["reported client_encoding"] ?? "UTF8"
        return name == "UTF8" || name == "UNICODE"
    }

    /// What text that cannot be analysed is taken for.
    var unparsedProfile: QueryProfile {
        QueryProfile(statements: [.opaque(.unparsed)], catalogVersion: 0)
    }

    /// What the Execute of a portal that no Bind has made is taken for: it may be one of DECLARE,
    /// whose statement was looked at then for what it leaves in the session.
    var unknownPortalProfile: QueryProfile {
        var statement = StatementProfile.opaque(.unparsed)
        statement.sessionEffects = []
        return QueryProfile(statements: [statement], catalogVersion: 0)
    }

    /// Decides at a miss, before the query is sent. `bindTail` is what follows the names in the
    /// Bind message, where there is one.
    func fillDecision(
        for profile: QueryProfile, text: String, bindTail: ByteBuffer? = nil
    ) -> FillDecision {
        guard let statement = profile.statements.first else { return .bypass(nil) }
        guard profile.statements.count == 1 else { return .bypass(.multipleStatements) }
        if case .transaction = statement.kind { return .bypass(nil) }
        if let reason = statement.bypassReason { return .bypass(reason) }
        _ = noteSettingsRead(by: profile)
        if let reason = bypassReason { return .bypass(reason) }
        if !settings.custom.knows(statement.settingsRead) { return .bypass(.sessionState) }
        if let openSegment, openSegment.steps.contains(where: { $0.kind != .read }) {
            return .bypass(.mixedSegment)
        }
        let plan = FillPlan.plan(for: profile, text: text, database: database, services: services)
        guard case .store(let timeToLive) = plan.decision else { return .bypass(.rule) }
        let cells = plan.cells(bindTail: bindTail, comparesTextAsSent: comparesTextAsSent)
        guard let lease = cells.capture() else { return .bypass(.writerInFlight) }
        // The read set is only as good as the catalog that it was found with. Looked at after the
        // capture: a later change moves the schema cell and spoils the lease.
        guard catalogCell.current == profile.catalogVersion else {
            return .bypass(.catalogNotReady)
        }
        // The node that is followed stores it, and sends it here.
        guard !services.right.isFollowing else {
            services.metrics.cacheMisses.increment()
            return .bypass(nil)
        }
        return .fill(lease, timeToLive: timeToLive)
    }

    // MARK: Single flight

    enum FlightDecision {
        /// The session waits for another's execution.
        case waits
        /// It runs the statement itself; others may share the result through the flight.
        case runs(Flight?)
    }

    /// The key is in `keyScratch`.
    func joinFlight(lease: FillLease, hash: UInt64, holding frame: MessageFrame) -> FlightDecision {
        if let flight = leadingFlight {
            leadingFlight = nil
            return .runs(flight)
        }
        guard !hasWaitedForFlight, services.sharesFlights else { return .runs(nil) }
        let number = suspend(.flight, holding: frame)
        let session = NIOLoopBound(self, eventLoop: eventLoop)
        let eventLoop = eventLoop
        let role = keyScratch.withUnsafeReadableBytes { key in
            services.flights.join(key: key, hash: hash, lease: lease) { _ in
                // Whatever became of it: the statement is looked at again, and hits if it can.
                eventLoop.execute { session.value.flightEnded(number) }
            }
        }
        switch role {
        case .leader(let flight):
            wait = nil
            heldFrame = nil
            return .runs(flight)
        case .independent:
            wait = nil
            heldFrame = nil
            return .runs(nil)
        case .follower(let ticket):
            flightTicket = ticket
            flightDeadline = eventLoop.scheduleTask(in: Self.flightPatience) {
                session.value.flightEnded(number)
            }
            return .waits
        }
    }

    private func flightEnded(_ number: UInt64) {
        guard wait == .flight, waitNumber == number else { return }
        flightDeadline?.cancel()
        flightDeadline = nil
        flightTicket?.cancel()
        flightTicket = nil
        hasWaitedForFlight = true
        services.metrics.flightsShared.increment()
        resume(number)
    }

    /// A CancelRequest for a statement that waits for another session's execution of it, with no
    /// earlier reply outstanding.
    func cancelWaitingStatement() {
        guard wait == .flight else { return }
        if transaction.visibleStatus != .idle || heldFrame?.tag == FrontendTag.flush {
            // The block must fail, and in the server too: the statement runs and is cancelled there.
            // So does one that a Flush asked for: what follows up to its Sync is then skipped.
            flightEnded(waitNumber)
            link?.cancelRunningStatement()
            return
        }
        flightDeadline?.cancel()
        flightTicket?.cancel()
        flightTicket = nil
        heldFrame = nil
        collected.removeAll(keepingCapacity: true)
        collectedBytes = 0
        services.metrics.errorsSent.increment()
        output.buffer.writeErrorResponse(
            PostgresError(.queryCanceled, "canceling statement due to user request"))
        writeReady(transaction.visibleStatus)
        resume(waitNumber)
    }

    /// The key scratch's bytes in a buffer of their own.
    func copyOfKey() -> ByteBuffer {
        var copy = ByteBuffer()
        copy.reserveCapacity(keyScratch.readableBytes)
        copy.writeImmutableBuffer(keyScratch)
        return copy
    }
}
