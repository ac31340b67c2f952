import NIOCore
import TestSupport
import Testing

@testable import PostgresWire

/// Every decoder takes mutated input without trapping, and what it accepts is consistent.
struct DecoderFuzzTests {
    private static let frontendSeeds: [ByteBuffer] = [
        buffer(FrontendMessageTests.parse.write), buffer(FrontendMessageTests.bind.write),
        buffer(DescribeMessage(target: .statement, name: "s").write),
        buffer(CloseMessage(target: .portal, name: "p").write),
        buffer(ExecuteMessage(portal: "p", maximumRows: 1).write),
        buffer(QueryMessage(query: "SELECT 'ä'").write),
    ]

    @Test("Frontend messages", arguments: [UInt64(101), 102])
    func frontendMessages(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for round in 0..<20_000 {
            let original = Self.frontendSeeds[round % Self.frontendSeeds.count]
            var stream = ByteBuffer(bytes: generator.mutated(Array(original.readableBytesView)))
            let frame: MessageFrame
            do {
                guard let next = try MessageFraming.next(in: &stream, limit: 1 << 20) else {
                    continue
                }
                frame = next
            } catch { continue }
            // What is accepted is written back as it came.
            if let parse = try? ParseMessage(decoding: frame.body) {
                expectSame(buffer(parse.write), frame.body)
            }
            if let bind = try? BindMessage(decoding: frame.body) {
                expectSame(buffer(bind.write), frame.body)
            }
            if let describe = try? DescribeMessage(decoding: frame.body) {
                expectSame(buffer(describe.write), frame.body)
            }
            if let close = try? CloseMessage(decoding: frame.body) {
                expectSame(buffer(close.write), frame.body)
            }
            if let execute = try? ExecuteMessage(decoding: frame.body) {
                expectSame(buffer(execute.write), frame.body)
            }
            if let query = try? QueryMessage(decoding: frame.body) {
                expectSame(buffer(query.write), frame.body)
            }
        }
    }

    private func expectSame(_ written: ByteBuffer, _ body: ByteBuffer) {
        let writtenBody = written.getSlice(at: 5, length: written.readableBytes - 5)
        if writtenBody != body {
            Issue.record("round trip changed \(body.hexDump(format: .plain))")
        }
    }

    @Test("Startup packets")
    func startupPackets() {
        var generator = SeededGenerator(seed: 201)
        let seeds = [
            buffer { $0.writeStartup(StartupPacketTests.startup) },
            buffer { $0.writeCancelRequest(BackendKey(processID: 1, secret: 2)) },
            buffer { $0.writeSSLRequest() },
        ]
        for round in 0..<30_000 {
            let original = Array(seeds[round % seeds.count].readableBytesView)
            let bytes = generator.mutated(original)
            var stream = ByteBuffer(bytes: bytes)
            guard case .startup(let message)? = try? StartupPacket.next(in: &stream) else {
                continue
            }
            let taken = Array(bytes.prefix(bytes.count - stream.readableBytes))
            let written = Array(buffer(message.write).readableBytesView)
            if written != taken { Issue.record("round trip changed \(taken)") }
        }
    }

    @Test("Backend messages, errors included")
    func backendMessages() throws {
        var generator = SeededGenerator(seed: 301)
        let seeds = [
            buffer { $0.writeErrorResponse(BackendMessageTests.error) },
            buffer { $0.writeRowDescription([FieldDescription(name: "n", type: .int4)]) },
            buffer {
                $0.writeDataRow(columnCount: 2) {
                    $0.writeDataRowText("a")
                    $0.writeDataRowText(nil)
                }
            },
            buffer { $0.writeParameterStatus("a", "b") }, buffer { $0.writeCommandComplete("X") },
            buffer { $0.writeReadyForQuery(.failed) },
            buffer { $0.writeParameterDescription([1, 2]) },
        ].map { Array($0.readableBytesView.dropFirst(5)) }
        var accepted = 0
        for round in 0..<30_000 {
            let body = ByteBuffer(bytes: generator.mutated(seeds[round % seeds.count]))
            if (try? PostgresError(decodingErrorResponse: body)) != nil { accepted += 1 }
            if (try? FieldDescription.list(decodingRowDescription: body)) != nil { accepted += 1 }
            if (try? DataRowMessage(decoding: body)) != nil { accepted += 1 }
            if (try? ParameterStatusMessage(decoding: body)) != nil { accepted += 1 }
            if (try? BackendKey(decoding: body)) != nil { accepted += 1 }
            if (try? TransactionStatus(decodingReadyForQuery: body)) != nil { accepted += 1 }
            if (try? body.decodeCommandComplete()) != nil { accepted += 1 }
            if (try? body.decodeParameterDescription()) != nil { accepted += 1 }
        }
        #expect(accepted > 1000)
    }

    @Test("The scanner sees the same messages as the framing, or refuses like it")
    func scanner() throws {
        var generator = SeededGenerator(seed: 401)
        let reply = buffer {
            $0.writeParameterStatus("a", "b")
            for _ in 0..<3 { $0.writeDataRow(columnCount: 1) { $0.writeDataRowText("x") } }
            $0.writeCommandComplete("SELECT 3")
            $0.writeReadyForQuery(.idle)
        }
        for _ in 0..<10_000 {
            let bytes = ByteBuffer(bytes: generator.mutated(Array(reply.readableBytesView)))
            var whole: [UInt8] = []
            var framed = bytes
            var framingFails = false
            do {
                while let frame = try MessageFraming.next(
                    in: &framed, limit: BackendMessageScanner.maximumMessageLength)
                {
                    whole.append(frame.tag)
                }
            } catch { framingFails = true }

            var scanner = BackendMessageScanner()
            var ended: [UInt8] = []
            var rest = bytes
            var scannerFails = false
            do {
                while rest.readableBytes > 0 {
                    let size = min(Int.random(in: 1...12, using: &generator), rest.readableBytes)
                    guard let chunk = rest.readSlice(length: size) else { break }
                    var cursor = chunk.readerIndex
                    while let piece = try scanner.next(in: chunk, cursor: &cursor) {
                        if piece.endsMessage { ended.append(piece.tag) }
                    }
                }
            } catch { scannerFails = true }
            if ended != whole || framingFails != scannerFails {
                Issue.record("scanner and framing differ on \(bytes.hexDump(format: .plain))")
            }
        }
    }

    @Test("SCRAM messages and authentication requests")
    func authentication() throws {
        var generator = SeededGenerator(seed: 501)
        let serverFirst = Array("r=abcdef,s=c2FsdA==,i=2".utf8)
        let client = ScramClient(password: Secret("pw"), nonce: "abc")
        let proof = try client.receiveServerFirst("r=abcdef,s=c2FsdA==,i=2").derive()
        let requests: [[UInt8]] = [
            [0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 5, 1, 2, 3, 4],
            [0, 0, 0, 10] + Array("SCRAM-SHA-256\0\0".utf8), [0, 0, 0, 11] + serverFirst,
            [0, 0, 0, 12] + Array("v=AAAA".utf8),
        ]
        for round in 0..<20_000 {
            let text = String(decoding: generator.mutated(serverFirst), as: UTF8.self)
            if let derivation = try? client.receiveServerFirst(text) {
                if !(1...ScramKeyDerivation.maximumIterations).contains(derivation.iterations) {
                    Issue.record("accepted \(derivation.iterations) iterations")
                }
            }
            // No mutation may ever verify.
            let final = generator.mutated(Array("v=AAAAAAAAAAAAAAAAAAAAAAAA".utf8))
            if (try? proof.verifyServerFinal(String(decoding: final, as: UTF8.self))) != nil {
                Issue.record("a forged signature was accepted")
            }
            var machine = ServerAuthenticationStateMachine(
                user: "u", password: Secret("pw"), makeNonce: { "abc" })
            for step in 0..<3 {
                let request = generator.mutated(requests[(round + step) % requests.count])
                guard (try? machine.messageReceived(ByteBuffer(bytes: request))) != nil else {
                    break
                }
            }
        }
    }

    @Test("Binary values: whatever is read as text can be written as binary again")
    func binaryValues() throws {
        var generator = SeededGenerator(seed: 601)
        let vectors = try ValueVector.all.map { vector in
            (
                try #require(PostgresType(named: vector.type)),
                try ByteaCoding.bytes("\\x" + vector.binary)
            )
        }
        var accepted = 0
        for round in 0..<40_000 {
            let (type, original) = vectors[round % vectors.count]
            let binary = ByteBuffer(bytes: generator.mutated(original))
            guard let text = try? ValueCoding.text(fromBinary: binary, type: type) else { continue }
            accepted += 1
            // An array's explicit bounds are not read back, nor are intervals of any size.
            if text.hasPrefix("[") || type == .interval { continue }
            let again = try ValueCoding.binary(fromText: text, type: type)
            if try ValueCoding.text(fromBinary: again, type: type) != text {
                Issue.record("\(type.name): \(text) is not stable")
            }
        }
        #expect(accepted > 5000)
    }

    @Test("Text values: whatever is read as binary can be written as text")
    func textValues() throws {
        var generator = SeededGenerator(seed: 701)
        let vectors = try ValueVector.all.map { vector in
            (try #require(PostgresType(named: vector.type)), Array(vector.input.utf8))
        }
        var accepted = 0
        for round in 0..<40_000 {
            let (type, original) = vectors[round % vectors.count]
            let text = String(decoding: generator.mutated(original), as: UTF8.self)
            guard let binary = try? ValueCoding.binary(fromText: text, type: type) else { continue }
            accepted += 1
            _ = try ValueCoding.text(fromBinary: binary, type: type)
        }
        #expect(accepted > 2000)
    }
}
