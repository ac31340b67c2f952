#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where to accept connections.
package enum ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// `host` is a host name or an IP address, without brackets. Port 0 lets the system choose.
    case tcp(host: String, port: Int)
    /// The socket's own path, not its directory's.
    case unix(path: String)

    static let notation = """
        "host:port" such as "127.0.0.1:6432", "[::1]:6432" or "localhost:6432", or \
        "unix:/directory/.s.PGSQL.6432"
        """

    /// The longest path that fits into `sockaddr_un` on every system, without its final zero.
    private static let longestPath = 103

    /// Reads `host:port`, `[v6-address]:port`, `unix:/path/of/socket` or `unix:/directory` (one
    /// that exists or ends in a slash; the socket in it gets the name by which libpq looks for it
    /// at `directoryPort`). Nil when it is none of these.
    package init?(_ text: String, directoryPort: Int = 6432) {
        if text.hasPrefix("unix:") {
            self.init(unixPath: String(text.dropFirst("unix:".count)), directoryPort: directoryPort)
            return
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let portText = text[text.index(after: colon)...]
        guard !portText.isEmpty, portText.allSatisfy({ $0.isASCII && $0.isNumber }),
            let port = UInt16(portText)
        else { return nil }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
            guard Self.ipv6Bytes(String(host)) != nil else { return nil }
        } else {
            // Digits and dots alone can only be meant as an IPv4 address.
            let numeric = host.allSatisfy { $0.isNumber || $0 == "." }
            let name = host.allSatisfy {
                $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-" || $0 == "_")
            }
            guard !host.isEmpty, name, !numeric || Self.ipv4Bytes(String(host)) != nil else {
                return nil
            }
        }
        self = .tcp(host: String(host), port: Int(port))
    }

    private init?(unixPath: String, directoryPort: Int) {
        guard unixPath.hasPrefix("/"), unixPath.count > 1 else { return nil }
        var path = unixPath
        if path.hasSuffix("/") || Self.isDirectory(path) {
            path += path.hasSuffix("/") ? "" : "/"
            path += ".s.PGSQL.\(directoryPort)"
        }
        guard path.utf8.count <= Self.longestPath, !path.utf8.contains(0) else { return nil }
        self = .unix(path: path)
    }

    /// Whether only processes on this machine can connect. Host names other than `localhost` count
    /// as reachable from elsewhere: what they resolve to may change.
    package var isLocal: Bool {
        switch self {
        case .unix:
            return true
        case .tcp(let host, _):
            if host.lowercased() == "localhost" {
                return true
            }
            if let bytes = Self.ipv4Bytes(host) {
                return bytes[0] == 127
            }
            guard let bytes = Self.ipv6Bytes(host) else { return false }
            let loopback = bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
            let mappedLoopback =
                bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
                && bytes[12] == 127
            return loopback || mappedLoopback
        }
    }

    /// As it is written in the configuration.
    package var description: String {
        switch self {
        case .tcp(let host, let port):
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path):
            "unix:\(path)"
        }
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func ipv4Bytes(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 4)
        return inet_pton(AF_INET, text, &bytes) == 1 ? bytes : nil
    }

    private static func ipv6Bytes(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }
}
