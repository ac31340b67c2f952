import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Upstream

// What the server says without having been asked: values of settings, notifications.

extension ClientSession {
    /// A notification comes from the process id that the client who sent it was told, by which
    /// drivers know their own. Of the client's own that is certain: who listens is pinned, so that
    /// the connection is nobody else's. Of another's connection it is who had it last: a client that
    /// has taken it over since is named in place of the one before, but never the listener itself.
    func passOnNotification(_ body: ByteBuffer?) throws(PostgresError) {
        guard var body, var processID = body.readInteger(as: Int32.self) else {
            throw Self.unexpectedMessage
        }
        if knowsServerProcess {
            // It compares with what pg_backend_pid() has told.
        } else if processID == linkKey?.processID {
            processID = clientProcessID ?? processID
        } else if let client = services.upstream.pools?.clientProcessID(
            onConnection: processID, database: database)
        {
            processID = client
        }
        output.buffer.writeInteger(BackendTag.notificationResponse)
        output.buffer.writeInteger(Int32(8 + body.readableBytes))
        output.buffer.writeInteger(processID)
        output.buffer.writeImmutableBuffer(body)
    }

    /// A ParameterStatus is whole. One that was held back is passed on, unless it is for the proxy.
    func parameterEnded(_ body: ByteBuffer?) {
        if let isPassedOn = mirroring.holdsStatus {
            mirroring.holdsStatus = nil
            guard let body, !takePosition(body) else { return }
            if isPassedOn {
                output.buffer.writeInteger(BackendTag.parameterStatus)
                output.buffer.writeInteger(Int32(4 + body.readableBytes))
                output.buffer.writeImmutableBuffer(body)
            }
        }
        if !isReplayingSilently { parameterReported(body) }
    }

    private func parameterReported(_ body: ByteBuffer?) {
        guard var body, let name = body.readName(),
            let value = body.readName()
        else { return }
        settings.reported(name, value)
        let before = identity
        refreshIdentity()
        if identity != before { abandonCaptures() }
    }
}
