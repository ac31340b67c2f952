import DequeModule
import PostgresWire
import Upstream

/// The replies that the upstream still owes, in order: which of them go to the client, which are
/// swallowed because the proxy itself sent the message, and what each one settles.
///
/// A pure machine: told of every message sent (`owe…`) and of every reply message that begins
/// (`received`), it says what that reply means. A link whose ledger is not empty must never be
/// handed to anyone else.
///
/// Extended-protocol rules followed here: after an ErrorResponse the server skips messages until
/// Sync; while COPY IN runs it ignores Sync and Flush until CopyDone or CopyFail.
/// https://www.postgresql.org/docs/15/protocol-flow.html
struct ReplyLedger {
    /// One reply owed.
    enum Item {
        case parse(PreparedStatement, absorbed: Bool)
        /// A Parse of which nothing need be remembered.
        case passedParse
        case bind
        /// A Bind that has been answered from memory and is now made up for.
        case absorbedBind
        case describeStatement
        case describePortal(ReplyCapture?)
        case execute(ReplyCapture?)
        case close
        /// A Parse that is not sent, because the server has the statement: the answer is the proxy's.
        case parseAnswered(PreparedStatement)
        /// Likewise a Close.
        case closeAnswered(PreparedStatement)
        /// A Parse of the proxy's own, under a name of the client's.
        case absorbedParse(name: String)
        /// A Close of the proxy's own: of a statement that makes room for another, or of the unnamed
        /// one.
        case absorbedClose(StatementDigest?)
        case sync(ForwardedSegment)
        case query(ForwardedSegment, ReplyCapture?)
        case functionCall(ForwardedSegment)
        /// CopyDone or CopyFail was sent: owes nothing, but ends the stretch in which the server
        /// ignores Sync.
        case copyEnd
    }

    /// What a reply message means to the session.
    enum Meaning {
        /// Part of the running reply; nothing is settled by it.
        case part
        /// Belongs to no statement: notice, notification, parameter status.
        case asynchronous
        case parseCompleted(PreparedStatement)
        case rowDescription(ReplyCapture?)
        case dataRow(ReplyCapture?)
        /// CommandComplete, EmptyQueryResponse or PortalSuspended: one statement has ended.
        case statementCompleted(ReplyCapture?)
        /// An ErrorResponse; `undone` are the Parse messages that the server will now skip.
        case failed(undone: [PreparedStatement])
        case ready(ForwardedSegment)
        /// An ErrorResponse that answers nothing: the server is about to close the connection.
        case farewell
        /// The upstream broke the protocol.
        case unexpected
    }

    fileprivate var owed: Deque<Item> = []
    /// The segments that items of `owed` settle, in the same order: looked at for every reply.
    private var owedSegments: Deque<ForwardedSegment> = []
    private(set) var isCopyingIn = false
    /// COPY data has been sent, and not its end.
    private var hasOpenCopyData = false
    /// Something else was sent in between. Should the COPY fail, it cannot be told whether the
    /// server has read that before (and ignored it) or after (and answers it).
    private var isDoubtful = false
    /// The server has reported an error and ignores everything until a Sync not yet sent.
    private(set) var isSkippingToSync = false
    /// Segments whose Sync the server has ignored because COPY IN was running: what they began is
    /// settled by the next ReadyForQuery.
    private var heldOver: [ForwardedSegment] = []
    /// Statements whose Parse by the proxy was skipped or refused.
    private var unprepared: [PreparedStatement] = []
    /// Statements whose Close was skipped, first to last.
    private var kept: [PreparedStatement] = []
    /// Names under which the proxy would have made a statement.
    private var unmade: [String] = []
    /// Statements whose Close by the proxy was skipped.
    private var unclosed: [StatementDigest] = []
    /// Queries and function calls that the server has skipped, as it does with everything between
    /// an error and the next Sync: they have not run, and nothing answers them.
    private var skipped: [ForwardedSegment] = []

    var isEmpty: Bool { owed.isEmpty && heldOver.isEmpty }
    var count: Int { owed.count }

    /// Notes that a message has been sent. Returns false where the server will ignore it.
    @discardableResult
    mutating func owe(_ item: Item) -> Bool {
        if hasOpenCopyData { isDoubtful = true }
        if case .sync = item {
            if isCopyingIn { return false }
            isSkippingToSync = false
        } else if isSkippingToSync {
            return false
        }
        owed.append(item)
        if let segment = item.segment { owedSegments.append(segment) }
        return true
    }

    /// Notes that a message has been sent ahead of everything that is owed: of that nothing has.
    mutating func oweFirst(_ item: Item) {
        owed.prepend(item)
        if let segment = item.segment { owedSegments.prepend(segment) }
    }

    enum OwnAnswer {
        case parseComplete(PreparedStatement)
        case closeComplete
    }

    /// Whether the next reply is the proxy's own.
    var owesOwnAnswer: Bool {
        switch owed.first {
        case .parseAnswered, .closeAnswered: true
        default: false
        }
    }

    /// Takes out the next reply if it is the proxy's own.
    mutating func takeOwnAnswer() -> OwnAnswer? {
        switch owed.first {
        case .parseAnswered(let statement):
            owed.removeFirst()
            return .parseComplete(statement)
        case .closeAnswered:
            owed.removeFirst()
            return .closeComplete
        default: return nil
        }
    }

    /// The statements that the error just received has kept from being prepared.
    mutating func takeUnprepared() -> [PreparedStatement] {
        defer { unprepared = [] }
        return unprepared
    }

    /// The statements that the client has closed in vain.
    mutating func takeKept() -> [PreparedStatement] {
        defer { kept = [] }
        return kept
    }

    /// The names under which the error just received has kept the proxy from making a statement.
    mutating func takeUnmade() -> [String] {
        defer { unmade = [] }
        return unmade
    }

    /// The statements that the error just received has kept from being closed.
    mutating func takeUnclosed() -> [StatementDigest] {
        defer { unclosed = [] }
        return unclosed
    }

    /// The capture of the statement whose reply is under way.
    var currentCapture: ReplyCapture? {
        switch owed.first {
        case .execute(let capture), .query(_, let capture): capture
        default: nil
        }
    }

    /// Notes that COPY data has been sent.
    mutating func copyDataSent() {
        if !owed.isEmpty { hasOpenCopyData = true }
    }

    /// Notes that the client has ended its COPY data.
    mutating func copyEnded() {
        hasOpenCopyData = false
        if isCopyingIn {
            isCopyingIn = false
        } else if !owed.isEmpty {
            owed.append(.copyEnd)
        }
    }

    /// The segments that the ReadyForQuery just received settles besides its own.
    mutating func takeHeldOver() -> [ForwardedSegment] {
        defer { heldOver = [] }
        return heldOver
    }

    /// The segments that the error just received has kept from running.
    mutating func takeSkipped() -> [ForwardedSegment] {
        defer { skipped = [] }
        return skipped
    }

    /// Whether the reply now beginning is to be swallowed. Ask before `received`.
    var absorbsCurrent: Bool {
        switch owed.first {
        case .parse(_, let absorbed): absorbed
        case .query(let segment, _), .sync(let segment): segment.isAbsorbed
        case .absorbedBind, .absorbedParse, .absorbedClose: true
        default: false
        }
    }

    /// The segment that the first reply owed belongs to.
    var currentSegment: ForwardedSegment? {
        if let held = heldOver.first(where: { $0.completedSteps < $0.steps.count }) { return held }
        return owedSegments.first
    }

    /// Every segment still outstanding, in order.
    var segments: [ForwardedSegment] {
        heldOver
            + owed.compactMap { item in
                switch item {
                case .sync(let segment), .query(let segment, _), .functionCall(let segment):
                    segment
                default: nil
                }
            }
    }

    /// Takes the tag of a reply message that begins and tells what it means.
    mutating func received(_ tag: UInt8) -> Meaning {
        switch tag {
        case BackendTag.dataRow:
            while case .copyEnd = owed.first { owed.removeFirst() }
            return dataRow()
        case BackendTag.noticeResponse, BackendTag.notificationResponse,
            BackendTag.parameterStatus:
            return .asynchronous
        case BackendTag.errorResponse:
            return errorResponse()
        case BackendTag.readyForQuery:
            return readyForQuery()
        default:
            while case .copyEnd = owed.first { owed.removeFirst() }
            return reply(tag)
        }
    }

    private func dataRow() -> Meaning {
        switch owed.first {
        case .execute(let capture): .dataRow(capture)
        case .query(_, let capture): .dataRow(capture)
        default: .unexpected
        }
    }

    private mutating func reply(_ tag: UInt8) -> Meaning {
        switch owed.first {
        case .parse(let statement, _):
            guard tag == BackendTag.parseComplete else { return .unexpected }
            owed.removeFirst()
            return .parseCompleted(statement)
        case .passedParse, .absorbedParse:
            guard tag == BackendTag.parseComplete else { return .unexpected }
            owed.removeFirst()
            return .part
        case .bind, .absorbedBind:
            guard tag == BackendTag.bindComplete else { return .unexpected }
            owed.removeFirst()
            return .part
        case .close, .absorbedClose:
            guard tag == BackendTag.closeComplete else { return .unexpected }
            owed.removeFirst()
            return .part
        case .describeStatement:
            if tag == BackendTag.parameterDescription { return .part }
            guard tag == BackendTag.rowDescription || tag == BackendTag.noData else {
                return .unexpected
            }
            owed.removeFirst()
            return .part
        case .describePortal(let capture):
            owed.removeFirst()
            if tag == BackendTag.rowDescription { return .rowDescription(capture) }
            return tag == BackendTag.noData ? .part : .unexpected
        case .execute(let capture):
            return executeReply(tag, capture)
        case .query(_, let capture):
            return queryReply(tag, capture)
        case .functionCall:
            return tag == BackendTag.functionCallResponse ? .part : .unexpected
        case .sync:
            // COPY data of a segment that has failed meanwhile.
            return tag == BackendTag.copyDone || tag == BackendTag.copyData ? .part : .unexpected
        case .copyEnd, .parseAnswered, .closeAnswered, nil:
            return .unexpected
        }
    }

    private mutating func executeReply(_ tag: UInt8, _ capture: ReplyCapture?) -> Meaning {
        switch tag {
        case BackendTag.commandComplete, BackendTag.emptyQueryResponse,
            BackendTag.portalSuspended:
            owed.removeFirst()
            if tag != BackendTag.commandComplete { capture?.abandon(.partialExecute) }
            return .statementCompleted(capture)
        case BackendTag.copyInResponse, BackendTag.copyBothResponse:
            capture?.abandon(.replyNotStorable)
            beginCopyIn()
            return .part
        case BackendTag.copyOutResponse, BackendTag.copyData, BackendTag.copyDone:
            capture?.abandon(.replyNotStorable)
            return .part
        default:
            return .unexpected
        }
    }

    private mutating func queryReply(_ tag: UInt8, _ capture: ReplyCapture?) -> Meaning {
        switch tag {
        case BackendTag.rowDescription:
            return .rowDescription(capture)
        case BackendTag.commandComplete, BackendTag.emptyQueryResponse:
            return .statementCompleted(capture)
        case BackendTag.copyInResponse, BackendTag.copyBothResponse:
            capture?.abandon(.replyNotStorable)
            beginCopyIn()
            return .part
        case BackendTag.copyOutResponse, BackendTag.copyData, BackendTag.copyDone:
            capture?.abandon(.replyNotStorable)
            return .part
        default:
            return .unexpected
        }
    }

    /// COPY IN has begun for the first item: the Sync messages sent before the end of the data
    /// will be ignored by the server, so no ReadyForQuery answers them.
    private mutating func beginCopyIn() {
        defer { owedSegments = Deque(owed.compactMap(\.segment)) }
        var index = 1
        while index < owed.count {
            switch owed[index] {
            case .sync(let segment):
                heldOver.append(segment)
                owed.remove(at: index)
            case .copyEnd:
                owed.remove(at: index)
                return
            default:
                index += 1
            }
        }
        isCopyingIn = true
    }

    private mutating func errorResponse() -> Meaning {
        if isDoubtful, isCopyingIn || !heldOver.isEmpty { return .unexpected }
        isCopyingIn = false
        while case .copyEnd = owed.first { owed.removeFirst() }
        guard let first = owed.first else { return .farewell }
        for segment in heldOver { segment.failed() }
        switch first {
        case .query(let segment, let capture):
            segment.failed()
            capture?.abandon(.replyNotStorable)
            return .failed(undone: [])
        case .functionCall(let segment), .sync(let segment):
            segment.failed()
            return .failed(undone: [])
        default:
            return .failed(undone: skipToSync())
        }
    }

    /// Drops what the server skips after an error, up to the Sync that ends the segment.
    private mutating func skipToSync() -> [PreparedStatement] {
        var undone: [PreparedStatement] = []
        if case .parse(let statement, false) = owed.first, statement.name.isEmpty {
            // It has destroyed the one before it, and then failed.
            statement.replaced = nil
        }
        skipping: while let item = owed.first {
            switch item {
            case .parse(let statement, let absorbed):
                if absorbed {
                    // The client's own Parse was answered: the statement stays, and is sent again.
                    statement.upstreamState = .notPrepared
                    unprepared.append(statement)
                    statement.unconfirmedIn = nil
                } else {
                    undone.append(statement)
                    unprepared.append(statement)
                }
            case .describePortal(let capture), .execute(let capture):
                capture?.abandon(.replyNotStorable)
            case .parseAnswered(let statement):
                undone.append(statement)
            case .absorbedClose(let digest?):
                unclosed.append(digest)
            case .absorbedParse(let name):
                unmade.append(name)
            case .closeAnswered(let statement):
                kept.append(statement)
            case .absorbedClose(nil), .passedParse, .bind,
                .absorbedBind, .describeStatement, .close, .copyEnd:
                break
            case .sync(let segment):
                segment.failed()
                break skipping
            case .query(let segment, let capture):
                capture?.abandon(.replyNotStorable)
                segment.failed()
                skipped.append(segment)
                owedSegments.removeFirst()
            case .functionCall(let segment):
                segment.failed()
                skipped.append(segment)
                owedSegments.removeFirst()
            }
            owed.removeFirst()
        }
        if owed.isEmpty { isSkippingToSync = true }
        return undone
    }

    private mutating func readyForQuery() -> Meaning {
        while case .copyEnd = owed.first { owed.removeFirst() }
        switch owed.first {
        case .sync(let segment), .query(let segment, _), .functionCall(let segment):
            owed.removeFirst()
            owedSegments.removeFirst()
            isCopyingIn = false
            // Sent before this ReadyForQuery: of a COPY that is over.
            while case .copyEnd = owed.first { owed.removeFirst() }
            if owed.isEmpty {
                hasOpenCopyData = false
                isDoubtful = false
            }
            return .ready(segment)
        default:
            // A COPY that failed before the server had read the Sync taken for ignored.
            guard owed.isEmpty, !heldOver.isEmpty else { return .unexpected }
            isSkippingToSync = false
            return .ready(heldOver.removeFirst())
        }
    }
}

extension ReplyLedger.Item {
    /// What the ReadyForQuery that answers it settles; nil where none does.
    fileprivate var segment: ForwardedSegment? {
        switch self {
        case .sync(let segment), .query(let segment, _), .functionCall(let segment): segment
        case .parse, .passedParse, .bind, .absorbedBind, .describeStatement, .describePortal,
            .execute, .close, .parseAnswered, .closeAnswered, .absorbedParse, .absorbedClose,
            .copyEnd:
            nil
        }
    }
}

extension ReplyLedger {
    /// The replies owed will not come: nothing of them is stored.
    func abandonCaptures() {
        for item in owed {
            switch item {
            case .execute(let capture), .query(_, let capture), .describePortal(let capture):
                capture?.abandon(.replyNotStorable)
            case .parse, .passedParse, .bind, .absorbedBind, .describeStatement, .close, .sync,
                .functionCall, .copyEnd, .parseAnswered, .closeAnswered, .absorbedParse,
                .absorbedClose:
                break
            }
        }
    }
}
