import Foundation
import NIOCore
import ProxyConfiguration
import Snapshots

/// Gives orders to a running proxy (`SnapshotControl`). Blocks its thread.
package struct SnapshotControlClient: Sendable {
    private let socket: String

    /// Throws `StartError` where the configuration has no directory.
    package init(_ configuration: ProxyConfiguration) throws {
        guard let directory = configuration.snapshot.directory else {
            throw StartError(
                key: "snapshot.directory", problem: "is not set",
                allowed: "allowed: the directory of the running proxy's snapshots")
        }
        socket = SnapshotDirectory(path: directory).socket
    }

    /// What the proxy says, in sentences. Throws `SnapshotControlError` where nobody listens, or the
    /// proxy could not do it.
    package func order(_ line: String) async throws -> String {
        let socket = socket
        let answer = try await ProxyServer.onThread { try Self.ask(socket, line) }
        guard let end = answer.firstIndex(of: "\n") else {
            throw SnapshotControlError(text: "the proxy ended before it answered")
        }
        let text = answer[answer.index(after: end)...]
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard answer[..<end] == "ok" else { throw SnapshotControlError(text: text) }
        return text
    }

    private static func ask(_ path: String, _ line: String) throws -> String {
        guard !line.contains("\n") else {
            throw SnapshotControlError(text: "a path with a line break cannot be passed on")
        }
        let descriptor = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw SnapshotControlError.last("socket") }
        defer { close(descriptor) }
        let address = try SocketAddress(unixDomainSocketPath: path)
        let result = address.withSockAddr { pointer, size in
            connect(descriptor, pointer, socklen_t(size))
        }
        guard result == 0 else {
            throw SnapshotControlError(
                text: errno == ENOENT || errno == ECONNREFUSED
                    ? "no proxy is running that keeps snapshots there (\(path))"
                    : "cannot connect to \(path): \(String(cString: strerror(errno)))")
        }
        let bytes = Array("\(line)\n".utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw SnapshotControlError.last("send")
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }
}

/// Why an order was not carried out, in a sentence.
package struct SnapshotControlError: Error, CustomStringConvertible {
    let text: String

    static func last(_ call: String) -> SnapshotControlError {
        SnapshotControlError(text: "\(call): \(String(cString: strerror(errno)))")
    }

    package var description: String { text }
}
