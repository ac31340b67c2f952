import NIOCore
import PostgresWire
import Testing

@testable import Upstream

struct LinkStartupStateMachineTests {
    private func frames(_ write: (inout ByteBuffer) -> Void) throws -> [MessageFrame] {
        var buffer = ByteBuffer()
        write(&buffer)
        var frames: [MessageFrame] = []
        while let frame = try MessageFraming.next(in: &buffer, limit: 1 << 20) {
            frames.append(frame)
        }
        return frames
    }

    private static func greet(_ buffer: inout ByteBuffer) {
        buffer.writeAuthenticationOk()
        buffer.writeNoticeResponse(PostgresError("01000", "note", severity: .warning))
        buffer.writeParameterStatus("TimeZone", "UTC")
        buffer.writeBackendKeyData(BackendKey(processID: 1, secret: 2))
        buffer.writeReadyForQuery(.idle)
    }

    private static func answerProbe(_ buffer: inout ByteBuffer) {
        buffer.writeRowDescription([FieldDescription(name: "n", type: .text)])
        for row in [("role", "none"), ("session_user", "app"), ("gone", nil)] as [(String, String?)]
        {
            buffer.writeDataRow(columnCount: 2) {
                $0.writeDataRowText(row.0)
                $0.writeDataRowText(row.1)
            }
        }
        buffer.writeCommandComplete("SELECT 3")
        buffer.writeReadyForQuery(.idle)
    }

    @Test("With a probe, ready comes after its reply and holds what it said")
    func probing() throws {
        var machine = LinkStartupStateMachine(user: "login", password: nil, probesSettings: true)
        var greetings: [UpstreamGreeting] = []
        var sent: [ByteBuffer] = []
        let transcript = try frames {
            Self.greet(&$0)
            Self.answerProbe(&$0)
        }
        for frame in transcript {
            switch try machine.messageReceived(frame) {
            case .send(let message): sent.append(message)
            case .ready(let greeting): greetings.append(greeting)
            case .none, .deriveProof, .unsuitable: break
            }
        }
        let greeting = try #require(greetings.first)
        #expect(greetings.count == 1)
        #expect(sent.count == 1)
        #expect(greeting.settings == ["role": "none"])
        #expect(greeting.sessionUser == "app")
        #expect(greeting.backendKey == BackendKey(processID: 1, secret: 2))
        #expect(greeting.parameterStatuses == [.init(name: "TimeZone", value: "UTC")])
        // What comes after belongs to someone else.
        #expect(throws: PostgresError.self) { try machine.messageReceived(transcript[0]) }
    }

    @Test("ReadyForQuery before authentication is refused, and nothing heals it")
    func noShortcut() throws {
        for write: (inout ByteBuffer) -> Void in [
            { $0.writeReadyForQuery(.idle) }, { $0.writeParameterStatus("a", "b") },
            { $0.writeBackendKeyData(BackendKey(processID: 1, secret: 2)) },
            { $0.writeNegotiateProtocolVersion(minor: 0, unsupported: []) },
        ] {
            var machine = LinkStartupStateMachine(user: "u", password: nil, probesSettings: false)
            let bad = try frames(write)[0]
            #expect(throws: PostgresError.self) { try machine.messageReceived(bad) }
            let ok = try frames { $0.writeAuthenticationOk() }[0]
            #expect(throws: PostgresError.self) { try machine.messageReceived(ok) }
        }
    }

    @Test("The server's error is passed on as it is")
    func serverError() throws {
        let error = PostgresError(.tooManyConnections, "sorry", severity: .fatal, hint: "h")
        var machine = LinkStartupStateMachine(user: "u", password: nil, probesSettings: true)
        let frame = try frames { $0.writeErrorResponse(error) }[0]
        #expect(throws: error) { try machine.messageReceived(frame) }
    }

    @Test("Endless statuses and rows are cut off")
    func limits() throws {
        var machine = LinkStartupStateMachine(user: "u", password: nil, probesSettings: false)
        _ = try machine.messageReceived(try frames { $0.writeAuthenticationOk() }[0])
        let status = try frames { $0.writeParameterStatus("a", "b") }[0]
        var accepted = 0
        while (try? machine.messageReceived(status)) != nil, accepted < 10_000 { accepted += 1 }
        #expect(accepted == 1000)
    }

    // MARK: target_session_attrs

    /// What the machine does with a server that reports `statuses`, until it has decided.
    private func decision(
        _ target: TargetSession, statuses: [(String, String)], answer: String? = nil
    ) throws -> (queries: Int, refusal: String?, isReady: Bool) {
        var machine = LinkStartupStateMachine(
            user: "u", password: nil, target: target, probesSettings: false)
        let transcript = try frames { buffer in
            buffer.writeAuthenticationOk()
            for (name, value) in statuses { buffer.writeParameterStatus(name, value) }
            buffer.writeReadyForQuery(.idle)
            guard let answer else { return }
            buffer.writeRowDescription([FieldDescription(name: "n", type: .text)])
            buffer.writeDataRow(columnCount: 1) { $0.writeDataRowText(answer) }
            buffer.writeCommandComplete("SHOW")
            buffer.writeReadyForQuery(.idle)
        }
        var queries = 0
        for frame in transcript {
            switch try machine.messageReceived(frame) {
            case .send: queries += 1
            case .unsuitable(let reason): return (queries, reason, false)
            case .ready: return (queries, nil, true)
            case .none, .deriveProof: break
            }
        }
        return (queries, nil, false)
    }

    @Test("A server from 14 on says what it is, and is not asked")
    func reportedTarget() throws {
        let primary = [("default_transaction_read_only", "off"), ("in_hot_standby", "off")]
        let readOnly = [("default_transaction_read_only", "on"), ("in_hot_standby", "off")]
        let standby = [("default_transaction_read_only", "off"), ("in_hot_standby", "on")]
        let accepted: [(TargetSession, [Bool])] = [
            (.any, [true, true, true]), (.readWrite, [true, false, false]),
            (.readOnly, [false, true, true]), (.primary, [true, true, false]),
            (.standby, [false, false, true]), (.preferStandby, [false, false, true]),
        ]
        for (target, verdicts) in accepted {
            for (statuses, expected) in zip([primary, readOnly, standby], verdicts) {
                let found = try decision(target, statuses: statuses)
                #expect(found.queries == 0)
                #expect(found.isReady == expected, "\(target) \(statuses)")
                #expect((found.refusal == nil) == expected)
            }
        }
    }

    @Test("An older server is asked")
    func askedTarget() throws {
        let accepted: [(TargetSession, String, Bool)] = [
            (.readWrite, "off", true), (.readWrite, "on", false), (.readOnly, "on", true),
            (.primary, "f", true), (.primary, "t", false), (.standby, "t", true),
            (.standby, "f", false), (.preferStandby, "t", true),
        ]
        for (target, answer, expected) in accepted {
            let found = try decision(target, statuses: [], answer: answer)
            #expect(found.queries == 1)
            #expect(found.isReady == expected, "\(target) \(answer)")
        }
        let any = try decision(.any, statuses: [])
        #expect(any.isReady && any.queries == 0)
    }

    @Test("An answer out of place is an error")
    func oddAnswers() throws {
        var machine = LinkStartupStateMachine(
            user: "u", password: nil, target: .primary, probesSettings: false)
        let transcript = try frames {
            $0.writeAuthenticationOk()
            $0.writeReadyForQuery(.idle)
            $0.writeReadyForQuery(.idle)
        }
        _ = try machine.messageReceived(transcript[0])
        _ = try machine.messageReceived(transcript[1])
        #expect(throws: PostgresError.self) { try machine.messageReceived(transcript[2]) }
    }
}
