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
            case .none, .deriveProof: break
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
}
