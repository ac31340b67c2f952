import NIOCore
import PostgresWire

@testable import Session

/// The replies, each checked as it comes.
extension SimulatedClient {
    func take(_ frame: MessageFrame) throws {
        var body = frame.body
        simulation.trace("client \(name) gets \(UnicodeScalar(frame.tag))")
        switch frame.tag {
        case BackendTag.parseComplete: try parseCompleted()
        case BackendTag.bindComplete:
            guard case .bind = try nextReply("BindComplete").kind else {
                throw outOfOrder("BindComplete")
            }
        case BackendTag.closeComplete:
            guard case .close(let name) = try nextReply("CloseComplete").kind else {
                throw outOfOrder("CloseComplete")
            }
            prepared[name] = nil
        case BackendTag.rowDescription, BackendTag.noData:
            try described()
        case BackendTag.dataRow:
            try takeRow(&body)
        case BackendTag.commandComplete:
            try completed(body.readName() ?? "")
        case BackendTag.errorResponse:
            rows = []
            rowCount = 0
            let error = try PostgresError(decodingErrorResponse: body)
            // The session is over, whatever was under way.
            if error.severity == .fatal { return }
            guard !requests.isEmpty, !requests[0].hasFailed else { throw outOfOrder("an error") }
            failed()
        case BackendTag.readyForQuery:
            try ready(TransactionStatus(rawValue: body.readInteger() ?? 0) ?? .idle)
        case BackendTag.backendKeyData:
            key = try BackendKey(decoding: body)
        default:
            break
        }
    }

    private func outOfOrder(_ what: String) -> Violation {
        Violation(.order, "\(what) where client \(name) expected something else")
    }

    private func nextReply(_ what: String) throws -> ExpectedReply {
        guard !requests.isEmpty, !requests[0].hasFailed,
            requests[0].next < requests[0].replies.count
        else { throw outOfOrder(what) }
        let reply = requests[0].replies[requests[0].next]
        requests[0].next += 1
        return reply
    }

    private func parseCompleted() throws {
        guard case .parse(let name, let statement) = try nextReply("ParseComplete").kind else {
            throw outOfOrder("ParseComplete")
        }
        unconfirmedNames.remove(name)
        // Behind the reply the backend may be ahead, and have other settings.
        prepared[name] = (statement, requests.count == 1 ? settings.zone : nil)
    }

    /// RowDescription or NoData: of a Describe, or of a simple Query's rows.
    private func described() throws {
        guard !requests.isEmpty, requests[0].next < requests[0].replies.count else {
            throw outOfOrder("RowDescription")
        }
        if case .describe = requests[0].replies[requests[0].next].kind { requests[0].next += 1 }
    }

    private func takeRow(_ body: inout ByteBuffer) throws {
        guard !requests.isEmpty, requests[0].next < requests[0].replies.count,
            case .statement(_, _, let isBinary, _) = requests[0].replies[requests[0].next].kind
        else { throw outOfOrder("DataRow") }
        rowCount += 1
        for _ in 0..<(body.readInteger(as: UInt16.self) ?? 0) {
            let length = Int(body.readInteger(as: Int32.self) ?? 0)
            let value: Int32? =
                isBinary && length == 4
                ? body.readInteger() : body.readString(length: length).flatMap(Int32.init)
            guard let value else { throw Violation(.answer, "a value in the wrong format") }
            rows.append(value)
        }
    }

    private func completed(_ tag: String) throws {
        let reply = try nextReply("CommandComplete \(tag)")
        guard case .statement(let statement, let parameters, _, let name) = reply.kind else {
            throw outOfOrder("CommandComplete \(tag)")
        }
        defer {
            rows = []
            rowCount = 0
        }
        guard case .read(let read) = statement.meaning else {
            if tag.hasPrefix("SELECT") != (statement.meaning == .one) { throw outOfOrder(tag) }
            noteControl(statement.meaning)
            return
        }
        guard tag == "SELECT \(rowCount)" else { throw outOfOrder(tag) }
        let answer = ModelAnswer(columns: read.columns, values: rows)
        try simulation.check(
            answer, to: read, of: statement, parameters, preparedAs: name, reply, for: self)
    }

    private func noteControl(_ meaning: Meaning) {
        switch meaning {
        case .begin(let repeatableRead):
            isBlockRepeatable = repeatableRead ?? settings.isRepeatableReadByDefault
        case .discardAll:
            prepared = [:]
            unconfirmedNames = []
        default: break
        }
    }

    private func failed() {
        requests[0].hasFailed = true
        // Of a unit that has failed nothing further is sent.
        plan = []
        for reply in requests[0].replies[requests[0].next...] {
            if case .parse(let name, _) = reply.kind { unconfirmedNames.remove(name) }
        }
    }

    private func ready(_ newStatus: TransactionStatus) throws {
        guard isGreeted else {
            isGreeted = true
            return
        }
        guard !requests.isEmpty else { throw outOfOrder("ReadyForQuery") }
        let request = requests.removeFirst()
        if !request.hasFailed, request.next < request.replies.count {
            throw Violation(.order, "ReadyForQuery before all was answered, client \(name)")
        }
        status = newStatus
        if status == .idle { isBlockRepeatable = false }
    }
}
