import NIOCore
import PostgresWire
import Testing

@testable import Session

@Suite("ReplyLedger")
struct ReplyLedgerTests {
    private func segment(absorbed: Bool = false) -> ForwardedSegment {
        ForwardedSegment(isAbsorbed: absorbed, startedIdle: true, startedAt: 0)
    }

    private func statement(_ name: String) -> PreparedStatement {
        PreparedStatement(
            name: name, query: "SELECT 1", parameterTypes: [], parseIdentity: .unknown,
            parseMessage: ByteBuffer(), keyPart: ByteBuffer(), upstreamState: .prepared)
    }

    @Test("a pipelined segment is paid off in order and ends at its ReadyForQuery")
    func segmentInOrder() {
        var ledger = ReplyLedger()
        let first = segment()
        ledger.owe(.parse(statement(""), absorbed: false))
        ledger.owe(.bind)
        ledger.owe(.describePortal(nil))
        ledger.owe(.execute(nil))
        ledger.owe(.sync(first))
        for tag in [
            BackendTag.parseComplete, BackendTag.bindComplete, BackendTag.rowDescription,
            BackendTag.dataRow, BackendTag.dataRow, BackendTag.commandComplete,
        ] {
            if case .unexpected = ledger.received(tag) { Issue.record("tag \(tag) was expected") }
        }
        guard case .ready(let ended) = ledger.received(BackendTag.readyForQuery) else {
            Issue.record("ReadyForQuery ends the segment")
            return
        }
        #expect(ended === first)
        #expect(ledger.isEmpty)
    }

    @Test("an error skips everything up to the Sync and undoes the skipped Parses")
    func errorSkips() {
        var ledger = ReplyLedger()
        let failed = segment()
        let skipped = statement("later")
        ledger.owe(.bind)
        ledger.owe(.execute(nil))
        ledger.owe(.parse(skipped, absorbed: false))
        ledger.owe(.sync(failed))
        guard case .failed(let undone) = ledger.received(BackendTag.errorResponse) else {
            Issue.record("an ErrorResponse fails the segment")
            return
        }
        #expect(undone.count == 1 && undone.first === skipped)
        #expect(failed.hasFailed)
        #expect(!ledger.isSkippingToSync)
        guard case .ready = ledger.received(BackendTag.readyForQuery) else {
            Issue.record("its ReadyForQuery still comes")
            return
        }
        #expect(ledger.isEmpty)
    }

    @Test("after an error, messages sent before the Sync owe nothing")
    func errorBeforeSync() {
        var ledger = ReplyLedger()
        ledger.owe(.bind)
        _ = ledger.received(BackendTag.errorResponse)
        #expect(ledger.isSkippingToSync)
        let isOwed1 = ledger.owe(.execute(nil))
        #expect(!isOwed1)
        let isOwed2 = ledger.owe(.sync(segment()))
        #expect(isOwed2)
        #expect(!ledger.isSkippingToSync)
        guard case .ready = ledger.received(BackendTag.readyForQuery) else {
            Issue.record("only the Sync is answered")
            return
        }
        #expect(ledger.isEmpty)
    }

    @Test("a Sync sent while COPY IN runs is not answered, the one after CopyDone is")
    func copyInIgnoresSync() {
        var ledger = ReplyLedger()
        ledger.owe(.execute(nil))
        ledger.owe(.sync(segment()))
        _ = ledger.received(BackendTag.copyInResponse)
        #expect(ledger.isCopyingIn)
        let isOwed3 = ledger.owe(.sync(segment()))
        #expect(!isOwed3)
        ledger.copyEnded()
        let last = segment()
        let isOwed4 = ledger.owe(.sync(last))
        #expect(isOwed4)
        guard case .statementCompleted = ledger.received(BackendTag.commandComplete),
            case .ready(let ended) = ledger.received(BackendTag.readyForQuery)
        else {
            Issue.record("the COPY ends with CommandComplete and ReadyForQuery")
            return
        }
        #expect(ended === last)
        #expect(ledger.takeHeldOver().count == 1)
        #expect(ledger.isEmpty)
    }

    @Test("COPY data sent ahead of the CopyInResponse ends the ignored stretch at CopyDone")
    func pipelinedCopy() {
        var ledger = ReplyLedger()
        let last = segment()
        ledger.owe(.execute(nil))
        ledger.owe(.sync(segment()))
        ledger.copyEnded()
        ledger.owe(.sync(last))
        _ = ledger.received(BackendTag.copyInResponse)
        #expect(!ledger.isCopyingIn)
        _ = ledger.received(BackendTag.commandComplete)
        guard case .ready(let ended) = ledger.received(BackendTag.readyForQuery) else {
            Issue.record("one ReadyForQuery for the Sync after the data")
            return
        }
        #expect(ended === last)
        #expect(ledger.takeHeldOver().count == 1)
        #expect(ledger.isEmpty)
    }

    @Test("a Query before the Sync of a segment that has failed is skipped like the rest of it")
    func skipsQuery() {
        var ledger = ReplyLedger()
        let query = segment()
        ledger.owe(.execute(nil))
        ledger.owe(.query(query, nil))
        _ = ledger.received(BackendTag.errorResponse)
        #expect(ledger.isSkippingToSync)
        #expect(ledger.takeSkipped().first === query)
        #expect(ledger.isEmpty)
    }

    @Test("the end of the data of a simple COPY leaves nothing behind")
    func simpleCopy() {
        var ledger = ReplyLedger()
        ledger.owe(.query(segment(), nil))
        _ = ledger.received(BackendTag.copyInResponse)
        ledger.copyEnded()
        _ = ledger.received(BackendTag.commandComplete)
        _ = ledger.received(BackendTag.readyForQuery)
        #expect(ledger.isEmpty)

        // Ended before the server had said that it begins.
        ledger.owe(.query(segment(), nil))
        ledger.copyEnded()
        _ = ledger.received(BackendTag.errorResponse)
        _ = ledger.received(BackendTag.readyForQuery)
        #expect(ledger.isEmpty)
    }

    @Test("an error makes a Parse of the proxy's own due again, and undoes nothing")
    func injectedParse() {
        var ledger = ReplyLedger()
        let injected = statement("s")
        ledger.owe(.parse(injected, absorbed: true))
        ledger.owe(.bind)
        guard case .failed(let undone) = ledger.received(BackendTag.errorResponse) else {
            Issue.record("an ErrorResponse fails the segment")
            return
        }
        #expect(undone.isEmpty)
        #expect(injected.upstreamState == .notPrepared)
    }

    @Test("replies to the proxy's own messages are swallowed")
    func absorbs() {
        var ledger = ReplyLedger()
        ledger.owe(.query(segment(absorbed: true), nil))
        ledger.owe(.query(segment(), nil))
        #expect(ledger.absorbsCurrent)
        _ = ledger.received(BackendTag.commandComplete)
        #expect(ledger.absorbsCurrent)
        _ = ledger.received(BackendTag.readyForQuery)
        #expect(!ledger.absorbsCurrent)
    }

    @Test("a message that nothing owes is unexpected, an error that nothing owes is a farewell")
    func unowed() {
        var ledger = ReplyLedger()
        guard case .unexpected = ledger.received(BackendTag.dataRow),
            case .unexpected = ledger.received(BackendTag.readyForQuery),
            case .farewell = ledger.received(BackendTag.errorResponse),
            case .asynchronous = ledger.received(BackendTag.noticeResponse)
        else {
            Issue.record("unowed messages are told apart")
            return
        }
    }
}
