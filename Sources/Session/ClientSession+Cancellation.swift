import NIOCore
import PostgresWire
import Upstream

// A CancelRequest ends what is running in the server; what only waits here ends here.

extension ClientSession {
    /// A CancelRequest for this session has arrived; `then` is called when it has been dealt with.
    func cancelRequested(_ then: @escaping () -> Void) {
        guard let link = cancelWaiting() else { return then() }
        link.cancelRunningStatement()
        link.afterCancels(then)
    }

    /// Cancels what waits here; the link where something is to be cancelled in the server instead.
    private func cancelWaiting() -> (any UpstreamLink)? {
        guard !isClosed else { return nil }
        if wait == .flight, ledger.isEmpty {
            // Nothing has been sent upstream: the statement ends here. With earlier replies owed it
            // is not the one that runs, and its error would overtake them.
            cancelWaitingStatement()
        } else if pendingLink != nil || wait == .profile,
            ledger.isEmpty || pendingReplay != nil
        {
            // Nothing of it has been sent: it ends here; or in the server, where a block must fail.
            if transaction.visibleStatus == .idle {
                failWaitingStatement(
                    PostgresError(.queryCanceled, "canceling statement due to user request"))
            } else {
                cancelsNext = true
            }
        } else if mirroring.isAwaiting {
            // Held back until followers know of it: it is cancelled as soon as it is sent.
            cancelsNext = true
        } else if !ledger.isEmpty {
            return link
        }
        return nil
    }

    /// Answers a statement that waits for a connection with an error, and goes on; ends the session
    /// where the client is in a transaction, which the server has not failed.
    func failWaitingStatement(_ error: PostgresError) {
        guard transaction.visibleStatus == .idle, openSegment?.steps.isEmpty ?? true else {
            fail(error)
            return
        }
        if pendingLink != nil, !linkIsReady {
            pooling?.member.withdraw()
            link = nil
        }
        pendingLink = nil
        deferredQuery?.capture?.abandon(.replyNotStorable)
        deferredQuery = nil
        leadingFlight?.finish(.leaderFailed)
        leadingFlight = nil
        let isQuery =
            heldFrame?.tag == FrontendTag.query || heldFrame?.tag == FrontendTag.functionCall
        let isSync = heldFrame?.tag == FrontendTag.sync
        heldFrame = nil
        heldProfile = nil
        openSegment = nil
        if isQuery || isSync || replay.isEmpty { collected.removeAll(keepingCapacity: true) }
        services.metrics.errorsSent.increment()
        var error = error
        error.severity = .error
        output.buffer.writeErrorResponse(error)
        if isQuery || isSync {
            writeReady(.idle)
        } else {
            skipsToSync = true
        }
        output.flush()
        resume(waitNumber)
    }
}
