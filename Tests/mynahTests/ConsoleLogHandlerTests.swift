import Foundation
import Logging
import Synchronization
import Testing

@testable import mynah

@Suite("Console log handler")
struct ConsoleLogHandlerTests {
    private final class Lines: Sendable {
        private let storage = Mutex<[String]>([])

        func append(_ line: String) {
            storage.withLock { $0.append(line) }
        }

        var all: [String] { storage.withLock { $0 } }
    }

    @Test("A message is one line: time in UTC, level, text, values by name")
    func format() {
        let line = ConsoleLogHandler.line(
            time: timespec(tv_sec: 1_767_225_600, tv_nsec: 7_000_000), level: .info,
            message: "listening",
            metadata: ["port": "6432", "host": "127.0.0.1", "why": "a \"good\" reason", "none": ""])
        #expect(
            line == """
                2026-01-01T00:00:00.007Z info   listening host=127.0.0.1 none="" port=6432 \
                why="a \\"good\\" reason"\n
                """)
    }

    @Test("Line breaks and control characters cannot forge a line")
    func controlCharacters() {
        let line = ConsoleLogHandler.line(
            time: timespec(), level: .critical, message: "a\nb\u{1B}[31m", metadata: ["k": "x\r\ny"]
        )
        #expect(line == "1970-01-01T00:00:00.000Z crit   a\\nb\\u{1b}[31m k=x\\u{d}\\ny\n")
    }

    @Test("A logger with a level of its own keeps it; its values are added to the message's")
    func levels() {
        let lines = Lines()
        var logger = Logger(label: "test") { _ in
            ConsoleLogHandler(output: lines.append)
        }
        logger.logLevel = .warning
        logger[metadataKey: "session"] = "7"
        logger.info("not written")
        logger.error("written", metadata: ["code": "08006"])
        #expect(lines.all.count == 1)
        #expect(lines.all.first?.hasSuffix("Z error  written code=08006 session=7\n") == true)
    }
}
