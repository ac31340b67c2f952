import Foundation
import Testing

@testable import ProxyConfiguration

@Suite("Listen addresses")
struct ListenAddressTests {
    @Test(
        "TCP addresses are read, and printed as they were written",
        arguments: [
            ("127.0.0.1:6432", "127.0.0.1", 6432), ("[::1]:6432", "::1", 6432),
            ("[::]:1", "::", 1), ("localhost:65535", "localhost", 65_535),
            ("0.0.0.0:0", "0.0.0.0", 0), ("db-1.example.org:5432", "db-1.example.org", 5432),
        ])
    func tcp(text: String, host: String, port: Int) throws {
        let address = try #require(ListenAddress(text))
        #expect(address == .tcp(host: host, port: port))
        #expect(address.description == text)
    }

    @Test("Unix-domain sockets are given by path or by directory")
    func unix() throws {
        #expect(ListenAddress("unix:/nowhere/sock") == .unix(path: "/nowhere/sock"))
        #expect(ListenAddress("unix:/nowhere/") == .unix(path: "/nowhere/.s.PGSQL.6432"))
        #expect(
            ListenAddress("unix:/nowhere/", directoryPort: 5432)
                == .unix(path: "/nowhere/.s.PGSQL.5432"))
        let directory = FileManager.default.temporaryDirectory.path
        #expect(ListenAddress("unix:\(directory)") == .unix(path: "\(directory)/.s.PGSQL.6432"))
        #expect(
            try #require(ListenAddress("unix:/nowhere/sock")).description == "unix:/nowhere/sock")
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "", "6432", ":6432", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
            "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0:6432", "300.0.0.1:6432", "::1:6432",
            "[::1]", "[::1", "[127.0.0.1]:6432", "[zz]:6432", "a b:1", "user@host:1",
            "unix:", "unix:/", "unix:relative/path",
            "unix:/" + String(repeating: "long", count: 30),
        ])
    func refuses(text: String) {
        #expect(ListenAddress(text) == nil)
    }

    @Test("Loopback and sockets are local, everything else is not")
    func isLocal() throws {
        for text in [
            "127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1",
            "LocalHost:1", "unix:/nowhere/sock",
        ] {
            #expect(try #require(ListenAddress(text)).isLocal, "\(text)")
        }
        for text in [
            "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1",
            "example.org:1", "localhost.example.org:1",
        ] {
            #expect(try !#require(ListenAddress(text)).isLocal, "\(text)")
        }
    }
}
